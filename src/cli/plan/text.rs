//! Plans as text: Terraform's signs, one block for each object, and a summary line.

use std::fmt::Write;

use super::report::{Difference, Entry, Report, Result, Summary};
use crate::cli::paint::Paint;
use crate::model::documents::differences::{Sign, by_statement};
use crate::pipeline::plan::Part;

/// Renders the whole report.
pub(super) fn render(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    for note in &report.notes {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} {note}", paint.yellow("note:"));
    }
    for entry in &report.objects {
        if entry.result != Result::NoChanges || !entry.differences.is_empty() {
            object(&mut out, entry, paint);
        }
    }
    if report.objects.is_empty() {
        out.push_str("No AuroraLogExportPolicy exists.\n");
        return out;
    }
    let _ = writeln!(out, "{}", summary(report, paint));
    out
}

fn summary(report: &Report, paint: Paint) -> String {
    let Summary { create, change, delete, unchanged, refused } = report.summary;
    let objects = report.objects.len();
    let mut text = if create + change + delete == 0 {
        format!("{} Nothing would be changed in AWS", paint.bold("No changes."))
    } else {
        format!("{} {create} to create, {change} to change, {delete} to delete", paint.bold("Plan:"))
    };
    let _ = write!(text, " ({objects} {}", if objects == 1 { "object" } else { "objects" });
    if unchanged > 0 {
        let _ = write!(text, ", {unchanged} unchanged");
    }
    if refused > 0 {
        let _ = write!(text, ", {}", paint.red(&format!("{refused} refused")));
    }
    let _ = write!(text, "; as cluster {}).", report.cluster.name);
    text
}

fn object(out: &mut String, entry: &Entry, paint: Paint) {
    let mut head = paint.bold(&format!("{}/{}", entry.namespace, entry.name));
    if let Some(account) = &entry.account_id {
        let _ = write!(head, " {}", paint.dim(&format!("in account {account}")));
    }
    let _ = writeln!(out, "{head}");
    if let Some(message) = &entry.message {
        let line = match entry.reason {
            Some(reason) => format!("{} {message}", paint.red(&format!("{reason}:"))),
            None => message.clone(),
        };
        let _ = writeln!(out, "  {line}");
    }
    for adopted in &entry.adopted {
        let _ = writeln!(out, "  {} {adopted}", paint.yellow("takes over"));
    }
    for (part, arn) in [(Part::Policy, &entry.policy_arn), (Part::Role, &entry.role_arn)] {
        let differences: Vec<_> =
            entry.differences.iter().filter(|difference| difference.part == part.as_str()).collect();
        let change = entry.change(part);
        if change.is_none() && differences.is_empty() {
            continue;
        }
        let what = part.as_str().to_lowercase();
        let arn = whole(&differences).or(arn.clone()).unwrap_or_default();
        let _ = writeln!(out, "  {} {what} {arn}", sign(change.unwrap_or(Sign::Change), paint));
        for difference in differences {
            if difference.field != "existence" {
                detail(out, difference, paint);
            }
        }
    }
    out.push('\n');
}

/// Returns the ARN of a resource that is created or deleted as a whole.
fn whole(differences: &[&Difference]) -> Option<String> {
    let existence = differences.iter().find(|difference| difference.field == "existence")?;
    existence.expected.clone().or(existence.actual.clone())
}

fn detail(out: &mut String, difference: &Difference, paint: Paint) {
    let Difference { part: _, field, item, expected, actual, repair } = difference;
    let left = match *repair {
        "LeftToOthers" => paint.dim("  (attached by others: stays unchanged)"),
        "Impossible" => paint.dim("  (IAM cannot change it: stays unchanged)"),
        _ => String::new(),
    };
    if matches!(*field, "document" | "trust") {
        for statement in by_statement(expected.as_deref(), actual.as_deref()) {
            let _ = writeln!(out, "      {} {field} {}", sign(statement.sign, paint), statement.label);
            for (line_sign, line) in statement.lines {
                let _ = writeln!(out, "          {}", coloured(line_sign, &line, paint));
            }
        }
        return;
    }
    let name = match *field {
        "attachments" => "attached policy".to_owned(),
        "inlinePolicies" => "inline policy".to_owned(),
        "tags" => format!("tag {}", item.as_deref().unwrap_or_default()),
        "defaultVersion" => "default version".to_owned(),
        "permissionsBoundary" => "permissions boundary".to_owned(),
        other => other.to_owned(),
    };
    let joined = if matches!(*field, "attachments" | "inlinePolicies") { " " } else { ": " };
    let line = match (expected, actual) {
        (Some(new), Some(old)) => format!("{} {name}: {old:?} → {new:?}", sign(Sign::Change, paint)),
        (Some(new), None) => format!("{} {name}{joined}{}", sign(Sign::Add, paint), quoted(field, new)),
        (None, Some(old)) => format!("{} {name}{joined}{}", sign(Sign::Remove, paint), quoted(field, old)),
        (None, None) => return,
    };
    let _ = writeln!(out, "      {line}{left}");
}

fn quoted(field: &str, value: &str) -> String {
    if matches!(field, "tags" | "description") { format!("{value:?}") } else { value.to_owned() }
}

fn sign(sign: Sign, paint: Paint) -> String {
    match sign {
        Sign::Add => paint.green("+"),
        Sign::Change => paint.yellow("~"),
        Sign::Remove => paint.red("-"),
    }
}

fn coloured(sign: Sign, line: &str, paint: Paint) -> String {
    match sign {
        Sign::Add => paint.green(&format!("+ {line}")),
        Sign::Change => paint.yellow(&format!("~ {line}")),
        Sign::Remove => paint.red(&format!("- {line}")),
    }
}
