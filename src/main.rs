//! The binary: everything is in the library.

/// With glibc's allocator a reconcile that creates a pair is a tenth more instructions (`docs/benchmarks.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    aurora_log_export_operator::cli::main()
}
