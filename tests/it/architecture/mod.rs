//! The architecture of `src/`: which file may import which. `docs/architecture.md` has the picture.
//!
//! An import is a path that leads from one file to another: in a `use` declaration, in code, or in an attribute's string
//! (`"super::schema::tags"`). It ends at the file that defines the item, so `pub use` is followed. `mod name;` and links in
//! comments are not imports.

mod checker;
mod source;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs, io};

use source::SourceFile;
use tree::Tree;

/// The floors of `src/`. A module imports only from its own floor and from the floors before it.
const FLOORS: [&str; 8] = ["api", "model", "pipeline", "telemetry", "kubernetes", "aws", "operator", "cli"];

/// What a module must not import although the order of the floors allows it.
const APART: [(&str, &[&str]); 6] = [
    ("telemetry", &["model", "pipeline"]),
    ("kubernetes", &["pipeline"]),
    ("aws", &["kubernetes"]),
    ("operator::reconcile", &["operator::sweep", "operator::accounts"]),
    ("operator::sweep", &["operator::reconcile", "operator::accounts"]),
    ("operator::accounts", &["operator::reconcile", "operator::sweep"]),
];

/// The name of the library in paths of `src/main.rs`.
const LIBRARY: &str = "aurora_log_export_operator";

#[test]
fn imports_follow_the_order_of_the_floors() {
    expect_none("Imports that break the order of the floors", &floors(&Tree::complete(&read(&["src"]).unwrap())));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    expect_none("Circles between files", &circles(&Tree::production(&read(&["src"]).unwrap())));
}

#[test]
fn module_files_have_one_style() {
    let sources = read(&["src", "tests", "xtask/src", "tests/support/src"]).unwrap();
    expect_none("Modules that are both a file and a folder", &both_styles(&sources));
}

#[test]
fn inherent_impls_are_in_the_file_of_their_type() {
    expect_none(
        "Inherent impls outside the file of their type",
        &stray_impls(&Tree::production(&read(&["src"]).unwrap())),
    );
}

#[test]
fn files_have_at_most_400_lines() {
    let files = read(&["src"]).unwrap().into_iter().map(|(path, text)| (path, text.lines().count()));
    let long = files.filter(|(_, lines)| *lines > 400).map(|(path, lines)| format!("{path}: {lines} lines"));
    let long: Vec<_> = long.collect();
    expect_none("Files with more than 400 lines", &long);
}

fn expect_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule} ({}):\n{}", found.len(), found.join("\n"));
}

/// The text of each Rust file by its path.
type Sources = BTreeMap<String, String>;

/// The Rust files in these folders of the repository.
fn read(folders: &[&str]) -> io::Result<Sources> {
    // Cargo sets the variable for the compiler and for the test; without cargo, it is set for the test alone.
    let root = option_env!("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = root.or_else(|| env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)).unwrap_or_default();
    let mut sources = Sources::new();
    let mut open: Vec<_> = folders.iter().map(PathBuf::from).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.insert(path.display().to_string(), fs::read_to_string(entry.path())?);
            }
        }
    }
    Ok(sources)
}

// The rules.

fn floors(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.files() {
        match file.path {
            "src/lib.rs" => {}
            "src/main.rs" => {
                let imports = file.imports.iter().filter(|import| import.path[0] == LIBRARY);
                let others = imports.filter(|import| import.path.get(1) != Some(&"cli"));
                found
                    .extend(others.map(|import| format!("src/main.rs: `{}`: main.rs imports only cli", import.text())));
            }
            path if !FLOORS.iter().any(|floor| within(&file.module, floor)) => {
                found.push(format!("{path}: is on no floor"));
            }
            _ => {
                for arrow in tree.arrows(file) {
                    let broken = arrow.route.iter().rev().find_map(|to| broken_rule(file, to));
                    found.extend(broken.map(|rule| format!("{}: {rule}", arrow.text())));
                }
            }
        }
    }
    found
}

/// The rule that an import of the file `to` in the file `from` breaks.
fn broken_rule(from: &SourceFile, to: &SourceFile) -> Option<String> {
    let apart = APART.iter().filter(|(module, _)| within(&from.module, module));
    let mut apart = apart.flat_map(|(module, others)| others.iter().map(move |other| (module, other)));
    if let Some((module, other)) = apart.find(|(_, other)| within(&to.module, other)) {
        return Some(format!("{module} must not import {other}"));
    }
    let floor = |file: &SourceFile| FLOORS.iter().position(|floor| within(&file.module, floor));
    match (floor(from), floor(to)) {
        (Some(from), Some(to)) if to <= from => None,
        (Some(from), Some(to)) => Some(format!("{} must not import {}, a later floor", FLOORS[from], FLOORS[to])),
        _ => Some(format!("{} is on no floor", to.path)),
    }
}

fn within(module: &[&str], area: &str) -> bool {
    let mut names = module.iter();
    area.split("::").all(|name| names.next() == Some(&name))
}

/// Each set of files that all reach each other, with one import for each pair of them.
fn circles(tree: &Tree) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for file in tree.files() {
        for arrow in tree.arrows(file) {
            next.entry(file.path).or_default().entry(arrow.to().path).or_insert_with(|| arrow.text());
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached_from(file, &next))).collect();
    let mut circles: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    for (file, others) in &reached {
        let mutual = |other: &&str| reached.get(other).is_some_and(|files| files.contains(file));
        circles.insert(others.iter().copied().filter(mutual).collect());
    }
    let describe = |circle: &BTreeSet<&str>| {
        let inside = circle.iter().flat_map(|file| &next[file]).filter(|(to, _)| circle.contains(*to));
        let lines: Vec<_> = inside.map(|(_, text)| format!("\n  {text}")).collect();
        format!("{} files:{}", circle.len(), lines.concat())
    };
    circles.iter().filter(|circle| !circle.is_empty()).map(describe).collect()
}

fn reached_from<'a>(file: &'a str, next: &BTreeMap<&'a str, BTreeMap<&'a str, String>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        open.extend(next.get(file).into_iter().flat_map(BTreeMap::keys).filter(|to| reached.insert(**to)));
    }
    reached
}

fn both_styles(sources: &Sources) -> Vec<String> {
    let folders = sources.keys().map(|path| (path, format!("{}/", path.trim_end_matches(".rs"))));
    let both = folders.filter(|(_, folder)| sources.keys().any(|other| other.starts_with(folder)));
    both.map(|(path, folder)| format!("{path} and {folder}")).collect()
}

fn stray_impls(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.files() {
        for import in &file.impls {
            if let Some(home) = tree.home(file, import).filter(|home| home.path != file.path) {
                let (path, line, name) = (file.path, import.line, import.text());
                found.push(format!("{path}:{line}: `impl {name}`: the type is in {}", home.path));
            }
        }
    }
    found
}
