//! `docs/security.md` says nothing that no test shows: each of its claims names tests, and each test named exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;
use serde_json::Value;

use super::markdown::files;

const PAGE: &str = "docs/security.md";
/// What it advises is not a claim.
const ADVICE: &str = "What the platform team should do";
/// Steps of CI that hold what no single test can.
const STEPS: [&str; 3] =
    ["cargo xtask ci --only rights", "cargo xtask ci --only simulator", "cargo xtask bench --tenants"];

/// Names of tests: `#[test] fn` by file below `tests/it`, Go's, and the attacks and cases shown to the simulator by file.
struct Known {
    rust: BTreeMap<String, Vec<String>>,
    go: Vec<String>,
    shown: BTreeMap<String, Vec<String>>,
}

/// Names of the tests in a file.
fn tests_in(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let tests = lines.windows(2).filter(|pair| pair[0].starts_with("#[tokio::test") || pair[0] == "#[test]");
    let names = tests.filter_map(|pair| {
        let (_, signature) = pair[1].split_once("fn ")?;
        Some(signature.split_once('(')?.0.to_owned())
    });
    names.collect()
}

fn known() -> Result<Known> {
    let read = |path: &Path| std::fs::read_to_string(workspace().join(path)).context(path.display().to_string());
    let mut rust = BTreeMap::new();
    for path in files("tests/it", "rs")? {
        let text = read(&path)?;
        rust.insert(path.strip_prefix("tests/it")?.display().to_string(), tests_in(&text));
    }
    // The table of guardrails has a test for each cell.
    let guardrails = Path::new("src/pipeline/desired/tests/guardrails");
    for name in ["names.rs", "rights.rs", "documents.rs", "reach.rs"] {
        rust.insert(format!("guardrails/{name}"), tests_in(&read(&guardrails.join(name))?));
    }
    let mut go = Vec::new();
    for path in files("tests/support/delivery", "go")? {
        let text = read(&path)?;
        let names = text.lines().filter_map(|line| line.strip_prefix("func ")?.split_once("(t *testing.T)"));
        go.extend(names.map(|(name, _)| name.to_owned()));
    }
    let mut shown = BTreeMap::new();
    for name in ["attacks.json", "boundary.json", "trust.json"] {
        let text = read(&PathBuf::from("tests/support/iam-simulate").join(name))?;
        let listed: Vec<Value> = serde_json::from_str(&text)?;
        let names = listed.iter().filter_map(|it| it["attack"].as_str().or(it["case"].as_str()).map(str::to_owned));
        shown.insert(name.to_owned(), names.collect());
    }
    Ok(Known { rust, go, shown })
}

/// A paragraph, an item of a list or a row of a table, with the line that it begins on.
fn claims(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut open, mut advice): (Vec<(usize, String)>, _, _) = (Vec::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            advice = heading == ADVICE;
        }
        let begins = line.starts_with("- ") || line.starts_with('|');
        if line.trim().is_empty() || line.starts_with('#') || advice {
            open = false;
        } else if let Some((_, claim)) = found.last_mut().filter(|_| open && !begins) {
            *claim += &format!(" {}", line.trim());
        } else {
            found.push((index + 1, line.to_owned()));
            open = !line.starts_with('|');
        }
    }
    found
}

/// How many tests a claim names; what is named and does not exist is an error. A file holds for the names after it, that of
/// a table's head for its rows.
fn named(claim: &str, files: &mut Vec<String>, known: &Known) -> Result<usize> {
    let mut count = 0;
    let mut fresh = true;
    for span in claim.split('`').skip(1).step_by(2) {
        let is_file = known.rust.contains_key(span) || known.shown.contains_key(span);
        if is_file {
            if fresh {
                files.clear();
            }
            files.push(span.to_owned());
            fresh = false;
            continue;
        }
        ensure!(Path::new(span).extension().is_none_or(|it| it != "rs"), "there is no tests/it/{span}");
        fresh = true;
        let is_test = span.matches('_').count() >= 3 && span.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        let holds = |file: &String| {
            known
                .rust
                .get(file)
                .or_else(|| known.shown.get(file))
                .is_some_and(|names| names.iter().any(|it| it == span))
        };
        if span.starts_with("Test") {
            ensure!(known.go.iter().any(|it| it == span), "there is no Go test {span}");
            count += 1;
        } else if STEPS.contains(&span) || files.iter().any(holds) {
            count += 1;
        } else {
            let is_attack = span.contains(' ') && files.iter().any(|file| known.shown.contains_key(file));
            ensure!(!is_test && !is_attack, "there is no {span:?} in {files:?}");
        }
    }
    Ok(count)
}

#[test]
fn every_claim_about_security_names_tests_that_exist() -> Result<()> {
    let known = known()?;
    let text = std::fs::read_to_string(workspace().join(PAGE))?;
    let (mut files, mut total, mut shown) = (Vec::new(), 0, 0);
    let mut wrong = Vec::new();
    for (line, claim) in claims(&text) {
        if !claim.starts_with('|') {
            files.clear();
        }
        match named(&claim, &mut files, &known) {
            Err(error) => wrong.push(format!("{PAGE}:{line}: {error}")),
            // What leads to a list or a table says nothing by itself, nor does a table's head.
            Ok(0) if line > 8 && !is_lead(&claim) => {
                wrong.push(format!("{PAGE}:{line}: which test shows this? {claim}"));
            }
            Ok(count) => {
                total += 1;
                shown += count;
            }
        }
    }
    println!("{total} claims name {shown} tests");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(total > 30 && shown > 60, "{total} claims with {shown} tests: the page is not read");
    Ok(())
}

fn is_lead(claim: &str) -> bool {
    let is_head = claim.starts_with("|---") || claim.contains("| test in `");
    is_head || claim.ends_with(':') || (!claim.starts_with(['-', '|']) && !claim.ends_with(['.', ')', ';']))
}

#[test]
fn a_claim_without_a_test_or_with_one_that_is_not_there_is_noticed() -> Result<()> {
    let known = known()?;
    let file = "docs/security.rs";
    let here = "every_claim_about_security_names_tests_that_exist";
    let count = |claim: &str| named(claim, &mut Vec::new(), &known);
    assert_eq!(count("Nobody can do `this` or `spec.that`.")?, 0);
    assert_eq!(count(&format!("Nobody can (`{file}`: `{here}`)."))?, 1);
    for (claim, why) in [
        (format!("Nobody can (`{file}`: `every_claim_about_security_is_wishful`)."), "there is no"),
        (format!("Nobody can (`docs/no_such.rs`: `{here}`)."), "there is no tests/it/docs/no_such.rs"),
        (format!("Nobody can (`{here}`)."), "there is no"),
        ("Nobody can (`TestNobody`).".to_owned(), "no Go test"),
        ("Nobody can (`attacks.json`: `walk through walls`).".to_owned(), "there is no"),
    ] {
        let error = count(&claim).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(why), "{claim}: {error:?}");
    }
    assert!(!is_lead("- can do anything;") && !is_lead("Nobody can.") && is_lead("| | may | test in `x` |"));
    Ok(())
}
