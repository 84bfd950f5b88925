//! `completion`: what shells offer while one types, from the same definition as the commands themselves.

use std::process::ExitCode;

use clap::Command;
use clap_complete::{Shell, generate};

use super::output;

pub(super) fn main(shell: Shell, mut command: Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, &name, &mut script);
    let script = match shell {
        Shell::Bash => with_one_spelling(&name, &String::from_utf8(script)?).into_bytes(),
        _ => script,
    };
    output::print(script)?;
    Ok(ExitCode::SUCCESS)
}

/// clap_complete spells a name with hyphens in two ways in the script for bash, which then offers nothing after a
/// command (<https://github.com/clap-rs/clap/issues/6421>). Once it has one spelling, this replaces nothing.
fn with_one_spelling(name: &str, script: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_binary_is_spelt_as_where_it_is_looked_up() {
        let script = "cmd=\"a__b__subcmd__plan\"\n a__subcmd__b__subcmd__plan)";
        assert_eq!(with_one_spelling("a-b", script), "cmd=\"a__b__subcmd__plan\"\n a__b__subcmd__plan)");
    }
}
