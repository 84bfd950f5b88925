//! The binary: everything is in the library.

/// Holds half the memory of glibc's with 10,000 objects: `docs/benchmarks.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    aurora_log_export_operator::cli::main()
}
