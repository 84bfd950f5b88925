//! What the docs point at exists: files, headings, flags, and the runbooks that alerts link to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;

use super::markdown::{Page, files, pages};
use crate::docs::BINARY;

/// Commands whose flags are not ours, when code in running text begins with them.
const OTHER_TOOLS: &[&str] = &[
    "kubectl ",
    "aws ",
    "helm ",
    "terraform ",
    "cargo ",
    "git ",
    "flux ",
    "argocd ",
    "eksctl ",
    "apt-get ",
    "rustup ",
    "uv ",
];

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts.into_iter().collect()
}

/// Why a link from `page` leads nowhere.
fn broken(pages: &BTreeMap<PathBuf, Page>, page: &Page, target: &str) -> Option<String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let dir = page.path.parent().unwrap_or(Path::new(""));
    let path = if path.is_empty() { page.path.clone() } else { normal(&dir.join(path)) };
    if !workspace().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    if anchor.is_empty() {
        return None;
    }
    match pages.get(&path) {
        Some(page) if page.anchors.iter().any(|known| known == anchor) => None,
        Some(page) => Some(format!("{} has no heading #{anchor}, but {}", path.display(), page.anchors.join(" "))),
        None => Some(format!("{} is not among the pages, so #{anchor} cannot be checked", path.display())),
    }
}

#[test]
fn every_relative_link_and_anchor_resolves() -> Result<()> {
    let pages = pages()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages.values() {
        for (line, target) in &page.links {
            count += 1;
            wrong.extend(broken(&pages, page, target).map(|why| format!("{}: ({target}) {why}", page.at(*line))));
        }
    }
    println!("{count} links on {} pages", pages.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(count > 30, "only {count} links were found");
    Ok(())
}

/// Every `docs/….md#…` in code, alerts, charts and scripts; runbooks among them.
#[test]
fn pages_that_the_program_and_its_alerts_name_exist() -> Result<()> {
    let pages = pages()?;
    let root = Page::parse(Path::new("root"), "")?;
    let mut texts = Vec::new();
    for (dir, extension) in [
        ("src", "rs"),
        ("deploy", "yaml"),
        ("deploy", "json"),
        ("deploy", "tpl"),
        ("deploy", "txt"),
        ("examples", "yaml"),
    ] {
        texts.extend(files(dir, extension)?);
    }
    let (mut wrong, mut runbooks) = (Vec::new(), BTreeSet::new());
    for path in texts {
        let text = std::fs::read_to_string(workspace().join(&path))?;
        for (index, line) in text.lines().enumerate() {
            for named in named_pages(line) {
                let why = broken(&pages, &root, &named);
                wrong.extend(why.map(|why| format!("{}:{}: {why}", path.display(), index + 1)));
                if line.contains("runbook_url") {
                    runbooks.insert(named);
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(runbooks.len() >= 8, "alerts link to {runbooks:?} only");
    ensure!(runbooks.iter().all(|it| it.contains('#')), "{runbooks:?}");
    Ok(())
}

fn named_pages(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("docs/") {
        let before = rest[..at].chars().next_back();
        let tail = &rest[at..];
        let end = tail.find(|it: char| !(it.is_ascii_alphanumeric() || "/.-_#".contains(it))).unwrap_or(tail.len());
        let name = tail[..end].trim_end_matches('.');
        // A path in another tree or an address is not ours.
        if before.is_none_or(|it| !(it.is_ascii_alphanumeric() || "/.-_".contains(it))) && name.contains(".md") {
            found.push(name.to_owned());
        }
        rest = &tail[end.max(1)..];
    }
    found
}

/// The reference is generated from the closed vocabulary, so it has them all.
#[test]
fn every_reason_has_what_to_do() -> Result<()> {
    let reference = std::fs::read_to_string(workspace().join("docs/reference.md"))?;
    let (_, rest) = reference.split_once("\n## Reasons\n").context("no list of reasons")?;
    let (list, _) = rest.split_once("\n## ").context("the list does not end")?;
    let reasons: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    ensure!(reasons.len() >= 26, "only {reasons:?}");
    let operations = Page::read(Path::new("docs/operations.md"))?;
    let missing: Vec<_> =
        reasons.iter().filter(|reason| !operations.anchors.contains(&reason.to_lowercase())).collect();
    ensure!(missing.is_empty(), "docs/operations.md has no heading for {missing:?}");
    Ok(())
}

/// `--flags` of the binary and of all its commands.
pub(super) fn flags() -> Result<BTreeSet<String>> {
    let mut flags = BTreeSet::new();
    for command in ["", "run", "crd", "render", "plan", "doctor", "import", "explain", "man", "completion"] {
        let mut process = std::process::Command::new(BINARY);
        process.env_clear().args((!command.is_empty()).then_some(command)).arg("--help");
        let help = process.output().context("cannot run the binary")?;
        ensure!(help.status.success(), "{command} --help failed");
        flags.extend(flags_in(&String::from_utf8(help.stdout)?));
    }
    Ok(flags)
}

/// The words that begin with `--`, without their values.
pub(super) fn flags_in(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '-'));
    words
        .filter(|word| word.len() > 3 && word.starts_with("--") && !word.starts_with("---"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_flag_in_running_text_exists() -> Result<()> {
    let known = flags()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages()?.values() {
        // A block of text shows flags where no command is to be run.
        let texts = page.blocks.iter().filter(|block| block.language == "text");
        let texts: Vec<(usize, String)> = texts.map(|block| (block.line, block.text.clone())).collect();
        for (line, span) in page.code.iter().chain(&texts) {
            if OTHER_TOOLS.iter().any(|tool| span.starts_with(tool)) && !span.starts_with("kubectl alep ") {
                continue;
            }
            for flag in flags_in(span) {
                count += 1;
                if !known.contains(&flag) {
                    wrong.push(format!("{}: `{span}`: there is no {flag}", page.at(*line)));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(count > 20, "only {count} flags were found");
    Ok(())
}

#[test]
fn what_is_named_is_found_in_text() {
    assert_eq!(flags_in("--cluster-name=<x>, `--all`"), ["--cluster-name", "--all"]);
    assert_eq!(named_pages("see docs/operations.md#a-b. And ../docs/x.md"), ["docs/operations.md#a-b"]);
}
