//! The executable: parse the command line, run one command, turn its error into an exit code.

use std::process::ExitCode;

use clap::Parser;
use filesys::commands::{self, Cli};
use filesys::telemetry::panics;

/// Returns freed memory to the system within ten seconds; glibc keeps most of what many connections took at once.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    panics::install();
    // Multi-threaded: migrations block a thread, and HTTP has threads of its own.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return commands::report(&error.into()),
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::report(&error),
    }
}
