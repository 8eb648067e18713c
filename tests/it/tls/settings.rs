//! Encryption that can't be set up ends the executable at its start, with the reason.

use std::process::Command;

/// Exit code and stderr of a worker or of another role that can't start.
fn filesys(role: &str, env: &[(&str, &str)]) -> (Option<i32>, String) {
    let usual = [
        ("KAFKA_BROKERS", "127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("DATABASE_URL", "postgresql://u@h/d"),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_filesys"));
    command.arg(role).env_clear().envs(usual.iter().chain(env).copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn an_executable_without_openssl_says_what_tls_and_scram_to_kafka_need() {
    let scram = [
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("KAFKA_SASL_USERNAME", "me"),
        ("KAFKA_SASL_PASSWORD", "hunter2"),
    ];
    for (env, what) in [(&[("KAFKA_TLS", "true")][..], "KAFKA_TLS"), (&scram, "SCRAM-SHA-512")] {
        for role in ["worker", "serve", "migrate"] {
            let (code, said) = filesys(role, env);
            assert_eq!(code, Some(78), "{said}");
            assert!(said.contains(what) && said.contains("--features kafka-tls"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn every_problem_of_encryption_is_told_at_once_and_no_secret_is() {
    let (code, said) = filesys(
        "migrate",
        &[
            ("KAFKA_TLS", "false"),
            ("KAFKA_TLS_CA", "/nowhere/ca.pem"),
            ("KAFKA_SASL_PASSWORD", "hunter2"),
            ("DATABASE_URL", "postgresql://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/nowhere/pg.pem"),
            ("S3_CA", "/nowhere/s3.pem"),
        ],
    );
    assert_eq!(code, Some(78), "{said}");
    for part in [
        "KAFKA_TLS=false contradicts KAFKA_TLS_CA",
        "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME is required with KAFKA_SASL_PASSWORD",
        "DATABASE_URL: the file that sslrootcert names can't be read",
        "the file that S3_CA names can't be read",
    ] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}
