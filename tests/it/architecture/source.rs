//! What a source file says: its imports, its items and its `impl` blocks. The scanner reads words and knows no types.

use std::collections::BTreeSet;

/// A path in a `use` declaration, in code, or of the type of an `impl` block.
#[derive(Clone, Default)]
pub(super) struct Import<'a> {
    /// The module in which it is, which may be inside a file.
    pub(super) module: Vec<&'a str>,
    pub(super) path: Vec<&'a str>,
    /// The name that a `use` declaration brings into scope, `*` for all. None for other paths.
    pub(super) name: Option<&'a str>,
    pub(super) line: usize,
}

impl Import<'_> {
    pub(super) fn text(&self) -> String {
        let path = self.path.join("::");
        match self.name {
            None => path,
            Some("*") => format!("use {path}::*"),
            Some(_) => format!("use {path}"),
        }
    }
}

#[derive(Default)]
pub(super) struct SourceFile<'a> {
    pub(super) path: &'a str,
    pub(super) module: Vec<&'a str>,
    /// The names of the items, without those that a macro defines.
    pub(super) defined: BTreeSet<&'a str>,
    pub(super) imports: Vec<Import<'a>>,
    /// The types of the inherent `impl` blocks.
    pub(super) impls: Vec<Import<'a>>,
    /// The modules behind `#[cfg(test)]`; empty if tests are read as well.
    pub(super) test_modules: Vec<Vec<&'a str>>,
}

pub(super) fn parse<'a>(path: &'a str, source: &'a str, with_tests: bool) -> SourceFile<'a> {
    let name = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut module: Vec<_> = name.split('/').filter(|name| *name != "lib").collect();
    let mut file = SourceFile { path, module: module.clone(), ..SourceFile::default() };
    let mut words = words(source, 1);
    if !with_tests {
        let tests = remove_tests(&mut words).into_iter();
        file.test_modules = tests.map(|test| [&module[..], &[test]].concat()).collect();
    }
    let word = |at: usize| words.get(at).map_or("", |word: &Word<'a>| word.1);
    // For each open brace, whether it is a module's.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (before, next) = (at.checked_sub(1).map_or("", word), word(at + 1));
        let import = |path| Import { module: module.clone(), path, name: None, line: words[at].0 };
        match word(at) {
            "{" => {
                let inline = at > 1 && word(at - 2) == "mod";
                module.extend(inline.then_some(before));
                braces.push(inline);
            }
            "}" => {
                let inline = braces.pop() == Some(true);
                module.truncate(module.len() - usize::from(inline));
            }
            "use" if next != "<" => {
                let tree = words[at..].split_inclusive(|word| word.1 == ";").next().unwrap_or_default();
                file.imports.extend(use_tree(&tree[1..], &module));
                at += tree.len() - 1;
            }
            "impl" if ["", ";", "{", "}", "]", "unsafe"].contains(&before) => {
                file.impls.extend(inherent_impl(&words[at + 1..]).map(import));
            }
            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" if braces.is_empty() => {
                file.defined.insert(next);
            }
            first if first.starts_with(is_name) && next == "::" => {
                let inside = ["::", "."].contains(&before) || (before == "$" && first != "crate");
                let visibility = before == "in" && word(at - 2) == "("; // `pub(in crate::cli)`
                file.imports.extend((!inside && !visibility).then(|| import(path_at(&words[at..]))));
            }
            _ => {}
        }
        at += 1;
    }
    file
}

/// The imports of a `use` tree, from the word after `use` to `;`.
fn use_tree<'a>(words: &[Word<'a>], module: &[&'a str]) -> Vec<Import<'a>> {
    let mut imports = Vec::new();
    let mut import = Import { module: module.to_vec(), ..Import::default() };
    // The length of the path before each open brace, and whether a path has begun since the last brace or comma.
    let (mut groups, mut begun) = (vec![0], false);
    for (at, &(line, word)) in words.iter().enumerate() {
        match word {
            "{" => {
                groups.push(import.path.len());
                begun = false;
            }
            "," | "}" | ";" => {
                let name = import.name.take().or(import.path.last().copied());
                imports.extend(begun.then(|| Import { name, ..import.clone() }));
                groups.truncate(groups.len() - usize::from(word == "}"));
                import.path.truncate(groups[groups.len() - 1]);
                begun = false;
            }
            _ => {
                match word {
                    "*" => import.name = Some(word),
                    _ if at > 0 && words[at - 1].1 == "as" => import.name = Some(word),
                    "::" | "as" => {}
                    "self" if !import.path.is_empty() => {}
                    _ => import.path.push(word),
                }
                (import.line, begun) = (line, true);
            }
        }
    }
    imports
}

/// The type of an `impl` block that implements no trait. The words begin after `impl`.
fn inherent_impl<'a>(words: &[Word<'a>]) -> Option<Vec<&'a str>> {
    let header: Vec<_> = words.iter().take_while(|word| !["{", "where", ";"].contains(&word.1)).copied().collect();
    let mut depth = 0;
    let generics = header.iter().take_while(|(_, word)| {
        depth += i32::from(*word == "<");
        let inside = depth > 0;
        depth -= i32::from(*word == ">");
        inside
    });
    let path = path_at(&header[generics.count()..]);
    let of_trait = header.windows(2).any(|pair| pair[0].1 == "for" && pair[1].1 != "<");
    (!of_trait && !path.is_empty()).then_some(path)
}

/// The path that these words begin with.
fn path_at<'a>(words: &[Word<'a>]) -> Vec<&'a str> {
    let mut path = Vec::new();
    for pair in words.chunks(2) {
        if !pair[0].1.starts_with(is_name) {
            break;
        }
        path.push(pair[0].1);
        if pair.get(1).is_none_or(|word| word.1 != "::") {
            break;
        }
    }
    path
}

/// Removes the items behind `#[cfg(test)]`, and returns the names of the modules among them.
fn remove_tests<'a>(words: &mut Vec<Word<'a>>) -> Vec<&'a str> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut modules = Vec::new();
    while let Some(start) = words.windows(7).position(|words| words.iter().map(|word| word.1).eq(attribute)) {
        let mut depth = 0;
        let item = words[start + 7..].split_inclusive(|(_, word)| {
            depth += i32::from(["(", "[", "{"].contains(word)) - i32::from([")", "]", "}"].contains(word));
            depth == 0 && ["}", ";"].contains(word)
        });
        let item = item.take(1).flatten().copied().collect::<Vec<_>>();
        modules.extend(item.windows(2).find(|pair| pair[0].1 == "mod").map(|pair| pair[1].1));
        words.drain(start..start + 7 + item.len());
    }
    modules
}

/// A name, a punctuation character or one of `::`, `->`, `=>` and `..`, with its line.
type Word<'a> = (usize, &'a str);

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The words of the code without comments and literals. A string that is a path (in an attribute) counts as code.
fn words(mut code: &str, mut line: usize) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    while !code.is_empty() {
        let space = code.len() - code.trim_start().len();
        let skipped = if space > 0 { Some(space) } else { comment(code).or_else(|| literal(code)) };
        let pair = 1 + usize::from(["::", "->", "=>", ".."].iter().any(|pair| code.starts_with(pair)));
        let name = code.find(|character| !is_name(character)).unwrap_or(code.len());
        let (text, rest) = code.split_at(skipped.unwrap_or(if name > 0 { name } else { pair }));
        let content = text.trim_matches('"');
        if skipped.is_none() {
            words.push((line, text));
        } else if content.starts_with("crate::") || content.starts_with("super::") {
            words.extend(self::words(content, line));
        }
        line += text.matches('\n').count();
        code = rest;
    }
    words
}

/// The length of the comment that the code begins with.
fn comment(code: &str) -> Option<usize> {
    match code.get(..2)? {
        "//" => Some(code.find('\n').unwrap_or(code.len())),
        "/*" => Some(code.find("*/")? + 2),
        _ => None,
    }
}

/// The length of the string or the character that the code begins with.
fn literal(code: &str) -> Option<usize> {
    let opening = code.trim_start_matches(['b', 'c', 'r']);
    let raw = code[..code.len() - opening.len()].ends_with('r');
    let body = opening.trim_start_matches('#');
    let hashes = &opening[..opening.len() - body.len()];
    let quote = body.chars().next().filter(|quote| *quote == '"' || (*quote == '\'' && !raw))?;
    let lifetime = quote == '\'' && !body[1..].starts_with('\\') && body.chars().nth(2) != Some('\'');
    if lifetime || (!raw && !hashes.is_empty()) {
        return None;
    }
    let start = code.len() - body.len() + 1;
    if raw {
        return Some(start + code[start..].find(&format!("\"{hashes}"))? + 1 + hashes.len());
    }
    let mut escaped = false;
    let end = code[start..].find(|character| {
        let end = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        end
    });
    Some(start + end? + 1)
}
