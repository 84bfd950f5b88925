//! The binary: everything is in the library.

fn main() -> std::process::ExitCode {
    aurora_log_export_operator::cli::main()
}
