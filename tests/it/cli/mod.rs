//! The command line: exit codes, stderr and stdout.

mod config;
mod dead_letters;
mod demo;
mod doctor;
mod exit_codes;
mod fsck;
mod schemas;
mod topics;
mod up;
mod upload;

use std::process::{Command, Output};

/// Runs the executable with this environment only.
fn filesys(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_filesys"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
