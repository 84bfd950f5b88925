//! `completion`: completion scripts for shells, generated from the definition of the commands.

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

/// In scripts for bash, clap_complete writes a name with hyphens in two ways, and completion offers nothing after a
/// command (<https://github.com/clap-rs/clap/issues/6421>). Once that is fixed, this replaces nothing.
fn with_one_spelling(name: &str, script: &str) -> String {
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_for_bash_writes_the_name_of_the_binary_in_one_way() {
        let script = "cmd=\"a__b__subcmd__plan\"\n a__subcmd__b__subcmd__plan)";
        assert_eq!(with_one_spelling("a-b", script), "cmd=\"a__b__subcmd__plan\"\n a__b__subcmd__plan)");
    }
}
