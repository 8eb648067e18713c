//! `filesys config`: effective settings, without secrets.

use serde_json::Value;

use super::{code, filesys, stderr, stdout};

const WORKER: [(&str, &str); 5] = [
    ("KAFKA_BROKER", "kafka:9092"),
    ("S3_ENDPOINT", "http://s3:4566/"),
    ("AWS_ACCESS_KEY_ID", "key"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ("DATABASE_URL", "postgresql://u:hunter2@db/files"),
];

#[test]
fn the_settings_of_a_role_are_a_table_without_secrets() {
    let output = filesys(&["config", "--role", "worker"], &WORKER);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = stdout(&output);
    let line = |name: &str| {
        let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(|words| words[0] == name).map(|words| words[1..].join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(line("SETTING"), ["FROM VALUE"]);
    assert_eq!(line("KAFKA_BROKERS"), ["alias KAFKA_BROKER kafka:9092"]);
    assert_eq!(line("KAFKA_GROUP_ID"), ["default file-service-group"]);
    assert_eq!(line("AWS_SECRET_ACCESS_KEY"), ["environment ***"]);
    assert_eq!(line("S3_ENDPOINT"), ["environment http://s3:4566/"]);
    assert_eq!(line("DATABASE_URL"), [""; 0], "a worker has no database");
    assert!(!table.contains("hunter2"), "{table}");
}

#[test]
fn without_a_role_all_settings_are_printed_and_none_is_required() {
    let output = filesys(&["config", "--output", "json"], &WORKER);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(!printed.contains("hunter2"), "{printed}");
    let settings: Vec<Value> = serde_json::from_str(&printed).unwrap();
    let of = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!(of("DATABASE_URL")["value"], "postgresql://u:***@db/files");
    assert_eq!(of("KAFKA_BROKERS")["source"], "alias");
    assert_eq!(of("KAFKA_BROKERS")["variable"], "KAFKA_BROKER");
    assert_eq!(of("PG_BIN")["value"], Value::Null);
    assert_eq!(code(&filesys(&["config"], &[])), 0);
}

#[test]
fn a_bad_environment_is_reported_as_the_role_would() {
    let wrong = [("KAFKA_BROKERS", "nowhere"), ("WORKER_CONCURRENCY", "hunter2"), ("LOG_FORMAT", "xml")];
    for args in [&["config"][..], &["config", "--role", "worker"]] {
        let output = filesys(args, &wrong);
        assert_eq!(code(&output), 78, "{args:?}");
        assert_eq!(stdout(&output), "");
        let said = stderr(&output);
        assert!(wrong.iter().all(|(name, _)| said.contains(name)), "{said}");
        assert_eq!(said.contains("AWS_ACCESS_KEY_ID is required"), args.len() > 1, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert_eq!(code(&filesys(&["config", "--role", "nobody"], &[])), 2);
}
