//! Report of tests that can't run on this machine. The library's tests use this file too.

use std::fs::File;
use std::io::Write;

/// Writes to stderr, past the test runner's capture of printing macros, and adds a line to the file that `TEST_NOT_RUN`
/// names, so that CI can count.
pub fn not_run(why: &str) {
    // One write: other tests write at the same time.
    let line = format!("{} not run: {why}\n", std::thread::current().name().unwrap_or("a test"));
    // A closed stderr is no reason to fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("TEST_NOT_RUN") {
        File::options().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
