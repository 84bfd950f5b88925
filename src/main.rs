//! The binary: everything is in the library.

/// Of glibc's allocator, a reconcile's three thousand small pieces take half as much time again, and ten thousand objects
/// two MiB more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    aurora_log_export_operator::cli::main()
}
