//! Exit codes: 0 ok, 1 failed, 2 usage, 69 a dependency is unavailable, 78 bad configuration.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use super::{code, filesys, stderr};
use crate::support::{Ports, TestApp};

#[test]
fn a_bad_configuration_names_every_variable_at_once_and_shows_no_value() {
    let output = filesys(
        &["serve"],
        &[
            ("PORT", "hunter2"),
            ("DATABASE_URL", "mysql://u:hunter2@h/d"),
            ("KAFKA_BROKERS", "a:1"),
            ("KAFKA_BROKER", "b:2"),
            ("S3_BUCKET", "Hunter2"),
        ],
    );
    let said = stderr(&output);
    assert_eq!(code(&output), 78, "{said}");
    for name in
        ["PORT", "DATABASE_URL", "KAFKA_BROKER", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    {
        assert!(said.contains(name), "{name} is missing in: {said}");
    }
    assert!(!said.to_lowercase().contains("hunter"), "{said}");
}

#[test]
fn a_wrong_command_line_is_told_from_a_failure() {
    for args in
        [&["no-such-command"][..], &[], &["worker", "--replicas", "0"], &["migrate", "--status", "--revert"]]
    {
        assert_eq!(code(&filesys(args, &[])), 2, "{args:?}");
    }
    assert_eq!(code(&filesys(&["--version"], &[])), 0);
}

#[test]
fn a_dependency_that_is_away_is_told_from_a_failure() {
    let away = [("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")];
    let output = filesys(&["migrate", "--status"], &away);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(!stderr(&output).contains("hunter2"));
}

#[tokio::test]
async fn healthcheck_tells_whether_the_server_is_well() {
    let ports = Ports::reserve();
    let port = ports.first.to_string();
    let app = TestApp::start_with(&[("PORT", &port)]).await;
    for args in [&["healthcheck"][..], &["healthcheck", "--ready"]] {
        let output = filesys(args, &[("PORT", &port)]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    app.stop().await;
    assert_eq!(code(&filesys(&["healthcheck"], &[("PORT", &port)])), 69);
}

#[test]
fn too_little_memory_or_too_few_files_are_told_in_one_line() {
    let limited = |limit: &str| {
        let command = format!("ulimit {limit}; exec {} config", env!("CARGO_BIN_EXE_filesys"));
        let output =
            std::process::Command::new("/bin/bash").args(["-c", &command]).env_clear().output().unwrap();
        (output.status, stderr(&output))
    };
    let limits = (2..=12).map(|n| format!("-v {}", n * 30_000)).chain((4..10).map(|n| format!("-n {n}")));
    let mut failed = 0;
    for limit in limits {
        let (status, said) = limited(&limit);
        // Less than the executable itself takes: the system ends the process before its first instruction.
        if status.signal() == Some(Signal::SIGSEGV as i32) && said.is_empty() {
            continue;
        }
        failed += usize::from(!status.success());
        assert!(status.success() || said.lines().count() == 1, "{limit}: {said}");
        assert!(!said.contains("panicked") && !said.contains("backtrace"), "{limit}: {said}");
    }
    assert!(failed > 2, "some limits are too low");
}
