//! Tests of the checker itself, on small trees in memory: each rule reports what breaks it and nothing else.

use super::tree::Tree;
use super::{Sources, both_styles, circles, floors, stray_impls};

fn sources(files: &[(&str, &str)]) -> Sources {
    files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())).collect()
}

fn check(rule: fn(&Tree) -> Vec<String>, files: &[(&str, &str)]) -> Vec<String> {
    rule(&Tree::production(&sources(files)))
}

const OWNER: (&str, &str) = ("model/names.rs", "pub struct Owner;");

#[test]
fn reports_an_import_of_a_later_floor() {
    for (code, line) in [
        ("use crate::model::names::{self, Owner};", "use crate::model::names"),
        ("use crate::{api::{Reason}, model::{names::{Owner as O}}};", "use crate::model::names::Owner"),
        ("#[derive(X)]\nstruct S(Vec<crate::model::names::Owner>);", "crate::model::names::Owner"),
        ("#[serde(with = \"super::super::model::names::Owner\")] struct S;", "super::super::model::names::Owner"),
    ] {
        let found = check(floors, &[("api/mod.rs", code), OWNER]);
        let line = format!("-> src/model/names.rs: `{line}`: api must not import model, a later floor");
        assert!(found[0].ends_with(&line), "{code}: {found:?}");
    }
    let found = check(floors, &[("telemetry/trace.rs", "use crate::model::names::Owner;"), OWNER]);
    assert!(found[0].ends_with("telemetry must not import model"), "{found:?}");
}

#[test]
fn ignores_comments_strings_tests_and_mod_declarations() {
    let code = "//! [`crate::cli::run`]\n/* crate::cli::run */ const A: &str = \"a \\\" crate::cli::run\";\n\
                const B: (&str, char) = (r#\"\"crate::cli::run\"#, '\"'); pub(in crate::api) fn a<'a>() {}\n\
                #[cfg(test)]\nmod tests { use crate::cli::run; }\n#[cfg(test)]\nmod fixtures;\nmod b;";
    let files = [("api/mod.rs", code), ("api/fixtures.rs", "use crate::cli::run;"), ("api/b.rs", "use super::a;")];
    let files = [&files[..], &[("cli/run.rs", "use crate::api::a;")]].concat();
    assert_eq!((check(floors, &files), check(circles, &files)), (vec![], vec![]));
}

#[test]
fn reports_an_import_between_folders_of_the_operator() {
    let context = ("operator/context.rs", "pub use crate::operator::sweep::Mode;");
    let code = "use super::super::context::Mode;";
    let found = check(
        floors,
        &[("operator/reconcile/ensure.rs", code), context, ("operator/sweep/mod.rs", "pub enum Mode {}")],
    );
    let line = "src/operator/reconcile/ensure.rs:1 -> src/operator/sweep/mod.rs: `use super::super::context::Mode`";
    assert_eq!(found, [format!("{line}: operator::reconcile must not import operator::sweep")]);
}

#[test]
fn reports_imports_of_the_library_in_main_other_than_cli() {
    let found = check(floors, &[("main.rs", "fn main() { aurora_log_export_operator::operator::run() }")]);
    assert_eq!(found, ["src/main.rs: `aurora_log_export_operator::operator::run`: main.rs imports only cli"]);
    assert!(check(floors, &[("main.rs", "fn main() { aurora_log_export_operator::cli::main() }")]).is_empty());
}

#[test]
fn reports_a_circle() {
    let mut files = vec![
        ("aws/mod.rs", "mod gate;\nmod rates;\nfn call() { gate::open() }"),
        ("aws/gate.rs", "use super::rates::Rates;\nfn open() {}"),
        ("aws/rates.rs", "struct Rates;"),
    ];
    assert!(check(circles, &files).is_empty());
    files[2].1 = "struct Rates;\nfn wait() { crate::aws::call() }";
    let lines = [
        "3 files:",
        "  src/aws/gate.rs:1 -> src/aws/rates.rs: `use super::rates::Rates`",
        "  src/aws/mod.rs:3 -> src/aws/gate.rs: `gate::open`",
        "  src/aws/rates.rs:2 -> src/aws/mod.rs: `crate::aws::call`",
    ];
    assert_eq!(check(circles, &files), [lines.join("\n")]);
}

#[test]
fn reports_a_circle_through_a_pub_use() {
    let plan = ("pipeline/plan/mod.rs", "mod action; pub use action::Action; use crate::pipeline::apply;");
    let action = ("pipeline/plan/action.rs", "pub enum Action {}");
    let apply = ("pipeline/apply.rs", "use crate::pipeline::plan::Action;");
    assert!(check(circles, &[plan, action, apply]).is_empty());
    let action = ("pipeline/plan/action.rs", "use crate::pipeline::apply; pub enum Action {}");
    let line = "src/pipeline/apply.rs:1 -> src/pipeline/plan/action.rs: `use crate::pipeline::plan::Action`";
    let back = "src/pipeline/plan/action.rs:1 -> src/pipeline/apply.rs: `use crate::pipeline::apply`";
    assert_eq!(check(circles, &[plan, action, apply]), [format!("2 files:\n  {line}\n  {back}")]);
}

#[test]
fn reports_a_module_that_is_a_file_and_a_folder() {
    let found = both_styles(&sources(&[("api.rs", ""), ("api/reason.rs", ""), ("cli/mod.rs", ""), ("climate.rs", "")]));
    assert_eq!(found, ["src/api.rs and src/api/"]);
}

#[test]
fn reports_an_impl_outside_the_file_of_the_type() {
    let stored = ("model/stored.rs", "pub struct Stored<S>(S); pub type Policy = Stored<u8>; impl<S> Stored<S> {}");
    let code = "use super::stored::*; impl<'a> Stored<&'a u8> {} impl Policy {} impl Clone for Policy {} impl Own {} struct Own;";
    let found = check(stray_impls, &[stored, ("model/other.rs", code)]);
    let line = |name| format!("src/model/other.rs:1: `impl {name}`: the type is in src/model/stored.rs");
    assert_eq!(found, [line("Stored"), line("Policy")]);
}
