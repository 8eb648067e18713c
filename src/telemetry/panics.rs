//! Panics as one line of the log; the process ends where one means that the machine gives it no more.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;

use log::LevelFilter;

/// Numbers of OS errors, as libraries print those that they did not expect: no thread, no memory, no file descriptor.
const EXHAUSTED: [u32; 4] = [11, 12, 23, 24];

/// Replaces the standard library's report of panics in all threads.
pub fn install() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    if is_exhausted(message) {
        // A server that lost a thread answers some of its clients never: a supervisor starts it again.
        // Nobody to tell if stderr is closed.
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
    let is_said = |number| {
        message.contains(&format!("Os {{ code: {number},"))
            || message.contains(&format!("(os error {number})"))
    };
    EXHAUSTED.into_iter().any(is_said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_system_refuses_ends_the_process() {
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
