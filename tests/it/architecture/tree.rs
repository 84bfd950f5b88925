//! The files of `src/` and the imports between them: from a path to the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};

use super::Sources;
use super::source::{Import, SourceFile, parse};

/// How many `pub use` follow each other at most: two modules may import all of each other.
const LONGEST_ROUTE: usize = 8;

/// An import that leads to another file. The route begins at the file that the path names and follows `pub use`.
pub(super) struct Arrow<'t> {
    pub(super) from: &'t SourceFile<'t>,
    pub(super) import: &'t Import<'t>,
    pub(super) route: Vec<&'t SourceFile<'t>>,
}

impl<'t> Arrow<'t> {
    /// The file that defines the item.
    pub(super) fn to(&self) -> &'t SourceFile<'t> {
        self.route[self.route.len() - 1]
    }

    pub(super) fn text(&self) -> String {
        format!("{}:{} -> {}: `{}`", self.from.path, self.import.line, self.to().path, self.import.text())
    }
}

pub(super) struct Tree<'a> {
    /// The files by the names of their module.
    files: BTreeMap<Vec<&'a str>, SourceFile<'a>>,
}

impl<'a> Tree<'a> {
    /// Production code and tests.
    pub(super) fn complete(sources: &'a Sources) -> Self {
        Self::new(sources, true)
    }

    /// Production code only.
    pub(super) fn production(sources: &'a Sources) -> Self {
        Self::new(sources, false)
    }

    fn new(sources: &'a Sources, with_tests: bool) -> Self {
        let files = sources.iter().map(|(path, text)| parse(path, text, with_tests));
        let mut files: BTreeMap<_, _> = files.map(|file| (file.module.clone(), file)).collect();
        let tests: Vec<_> = files.values().flat_map(|file| file.test_modules.clone()).collect();
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { files }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &SourceFile<'a>> {
        self.files.values()
    }

    /// Every `use` that leads to another file, and paths in code if they lead to a file that no `use` leads to.
    pub(super) fn arrows<'t>(&'t self, from: &'t SourceFile<'t>) -> Vec<Arrow<'t>> {
        let mut seen = BTreeSet::new();
        let mut arrows = Vec::new();
        let (uses, code): (Vec<_>, Vec<_>) = from.imports.iter().partition(|import| import.name.is_some());
        for import in uses.into_iter().chain(code) {
            let Some(path) = self.absolute(from, import) else { continue };
            let route = self.route(&path, 0);
            let Some(to) = route.last().filter(|to| to.path != from.path) else { continue };
            if seen.insert(to.path) || import.name.is_some() {
                arrows.push(Arrow { from, import, route });
            }
        }
        arrows
    }

    /// The file that defines the type of an `impl` block.
    pub(super) fn home<'t>(&'t self, file: &SourceFile<'t>, import: &Import<'t>) -> Option<&'t SourceFile<'t>> {
        let path = self.absolute(file, import).unwrap_or_else(|| [&import.module[..], &import.path].concat());
        self.route(&path, 0).pop()
    }

    /// The path from the crate's root, if it begins with `crate`, `self`, `super`, a module or an imported name.
    fn absolute<'t>(&self, file: &SourceFile<'t>, import: &Import<'t>) -> Option<Vec<&'t str>> {
        let first = import.path[0];
        let mut uses = file.imports.iter().filter(|other| other.name == Some(first));
        let imported = || Some([&uses.find_map(|other| self.anchored(other))?, &import.path[1..]].concat());
        self.anchored(import).or_else(imported)
    }

    /// The same without imported names.
    fn anchored<'t>(&self, import: &Import<'t>) -> Option<Vec<&'t str>> {
        let mut path = import.module.clone();
        let mut rest = &import.path[..];
        while let Some(keyword) = rest.first().filter(|name| ["crate", "self", "super"].contains(name)) {
            match *keyword {
                "crate" => path.clear(),
                "super" => drop(path.pop()),
                _ => {}
            }
            rest = &rest[1..];
        }
        let keywords = rest.len() < import.path.len();
        path.extend(rest);
        let child = || self.files.contains_key(&path[..=import.module.len()]);
        (keywords || child()).then_some(path)
    }

    /// The files from the one that the path names to the one that defines the item.
    fn route<'t>(&'t self, path: &[&'t str], depth: usize) -> Vec<&'t SourceFile<'t>> {
        let named = (0..=path.len()).rev().find_map(|length| Some((length, self.files.get(&path[..length])?)));
        let Some((length, file)) = named.filter(|_| depth < LONGEST_ROUTE) else { return Vec::new() };
        let mut route = vec![file];
        if let Some(item) = path.get(length).filter(|item| !file.defined.contains(*item)) {
            let follow = |import: &'t Import<'t>, rest: &[&'t str]| {
                let next = self.route(&[&self.absolute(file, import)?, rest].concat(), depth + 1);
                Some(next).filter(|next| !next.is_empty())
            };
            let uses = |name: &'t str| file.imports.iter().filter(move |import| import.name == Some(name));
            let defines = |next: &Vec<&SourceFile<'_>>| next[next.len() - 1].defined.contains(item);
            let by_name = uses(item).find_map(|import| follow(import, &path[length + 1..]));
            let by_glob = || uses("*").find_map(|import| follow(import, &path[length..]).filter(defines));
            // An item of neither kind comes from a macro of this file.
            route.extend(by_name.or_else(by_glob).unwrap_or_default());
        }
        route
    }
}
