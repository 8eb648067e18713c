//! Saying that something was not tested. The library's tests use this file too.

use std::fs::File;
use std::io::Write;

/// Says it on stderr, past the test runner's capture, which keeps back what macros print; and adds a line to the file
/// that `TEST_NOT_RUN` names, so that those who run the tests can count.
pub fn not_run(why: &str) {
    // In one piece: other tests write as well.
    let line = format!("{} not run: {why}\n", std::thread::current().name().unwrap_or("a test"));
    // Nobody to tell if stderr is closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("TEST_NOT_RUN") {
        File::options().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
