//! What a reader would type, and what the page says comes back.

use anyhow::{Result, ensure};

/// Commands in a row, with what the page shows of their output (`None` where it shows nothing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) script: String,
    pub(super) expected: Vec<String>,
}

/// A `sh` or `bash` block is one step; a `console` block is a step for each prompt.
pub(super) fn steps(language: &str, text: &str) -> Result<Vec<Step>> {
    if language != "console" {
        return Ok(vec![Step { script: text.to_owned(), expected: Vec::new() }]);
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { script: format!("{command}\n"), expected: Vec::new() });
            continued = command.ends_with('\\');
            continue;
        }
        let step = steps.last_mut();
        ensure!(step.is_some(), "a console block begins with `$ `");
        let Some(step) = step else { continue };
        if continued {
            step.script.push_str(&format!("{line}\n"));
            continued = line.ends_with('\\');
        } else if !line.trim().is_empty() {
            step.expected.push(line.to_owned());
        }
    }
    ensure!(!steps.is_empty(), "an empty block");
    Ok(steps)
}

/// Whitespace and times do not matter.
fn normal(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_matches(['[', ']', '(', ')', ',']);
        let unit = bare.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
        let number = unit.len() < bare.len();
        let time = ["s", "m", "h", "d", "ms"].contains(&unit) || (unit.is_empty() && bare.contains('.'));
        if number && time { "N" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Each expected line is found in the output, in this order; `…` alone stands for any lines, at an end for any rest.
pub(super) fn agree(expected: &[String], output: &str) -> Result<()> {
    let actual: Vec<String> = output.lines().map(normal).collect();
    let mut rest = actual.as_slice();
    for line in expected {
        let line = normal(line);
        if line == "…" {
            continue;
        }
        let fits = |actual: &String| match line.strip_suffix('…') {
            Some(start) => actual.starts_with(start.trim_end()),
            None => *actual == line,
        };
        let found = rest.iter().position(fits);
        ensure!(found.is_some(), "the page shows {line:?}, which did not come (any more) in:\n{output}");
        rest = &rest[found.map_or(0, |at| at + 1)..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_block_is_prompts_with_their_output() -> Result<()> {
        let found = steps("console", "$ a \\\n    --b\nout\n\n$ c\n")?;
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].script.as_str(), &found[0].expected[..]), ("a \\\n    --b\n", &["out".to_owned()][..]));
        assert_eq!(found[1], Step { script: "c\n".into(), expected: vec![] });
        assert!(steps("console", "out\n").is_err());
        Ok(())
    }

    #[test]
    fn output_agrees_but_for_spaces_and_times() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let output = "NAME   READY  AGE\norders True   12s\nrole arn:aws:1234 made\n";
        assert!(agree(&lines("NAME READY   AGE\norders True 1s"), output).is_ok());
        assert!(agree(&lines("NAME READY AGE\n…\nrole arn:aws:…"), output).is_ok());
        assert!(agree(&lines("orders False 12s"), output).is_err());
        assert!(agree(&lines("Plan: 1 to create"), "Plan: 2 to create").is_err(), "numbers are no times");
        assert!(agree(&lines("[  0.5 s] done"), "[ 12.7 s] done").is_ok());
        assert!(agree(&lines("orders True 1s\nNAME READY AGE"), output).is_err(), "the order matters");
    }
}
