//! Logs panics as one line each; ends the process when a panic means that the system refuses it resources.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;

use log::LevelFilter;

/// Numbers of OS errors for no more threads, memory or file descriptors, which libraries print in their panics.
const EXHAUSTED: [u32; 4] = [11, 12, 23, 24];

/// Installs the panic hook of all threads.
pub fn install() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    if is_exhausted(message) {
        // A server that has lost a thread would never answer some of its clients: it ends, so that a supervisor
        // restarts it. An error is ignored: stderr may be closed.
        let _ = writeln!(
            std::io::stderr(),
            "filesys: the system gives no more threads, memory or files (ulimit -v, -u, -n; limits of the container): {message}"
        );
        std::process::exit(1);
    }
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    if log::max_level() == LevelFilter::Off {
        let _ = writeln!(std::io::stderr(), "filesys: {thread} panicked at {at}: {message}");
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        log::error!(thread, at, message, backtrace:%; "panicked");
    } else {
        log::error!(thread, at, message; "panicked");
    }
}

fn is_exhausted(message: &str) -> bool {
    let is_named = |number| {
        message.contains(&format!("Os {{ code: {number},"))
            || message.contains(&format!("(os error {number})"))
    };
    EXHAUSTED.into_iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_resources_end_the_process() {
        for message in [
            r#"Cannot spawn server worker thread: Os { code: 11, kind: WouldBlock, message: "…" }"#,
            "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)",
            r#"called `Result::unwrap()` on an `Err` value: Os { code: 24, kind: Uncategorized, message: "…" }"#,
        ] {
            assert!(is_exhausted(message), "{message}");
        }
        for message in ["index out of bounds", "Os { code: 2, kind: NotFound }", "(os error 111)"] {
            assert!(!is_exhausted(message), "{message}");
        }
    }
}
