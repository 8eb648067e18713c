//! `filesys topics`: settings of topics, compared with those that are needed.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{code, filesys, stderr, stdout};
use crate::support::not_run;

#[test]
fn a_kafka_that_is_away_or_silent_is_said_in_one_line() {
    // Accepts connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    for (args, address) in [(&["topics"][..], "127.0.0.1:1"), (&["topics", "--check"], &silent)] {
        let output = filesys(args, &[("KAFKA_BROKERS", address)]);
        let said = stderr(&output);
        assert_eq!(code(&output), 69, "{said}");
        // Besides the log's.
        let own: Vec<&str> = said.lines().filter(|line| line.starts_with("filesys: ")).collect();
        assert!(own.len() == 1 && own[0].contains("Kafka is not available"), "{said}");
        assert_eq!(stdout(&output), "", "{said}");
    }
    assert_eq!(code(&filesys(&["topics"], &[])), 78);
}

#[test]
fn topics_of_kafka_are_made_once_and_those_with_too_few_partitions_are_told() {
    let Ok(brokers) = std::env::var("TEST_KAFKA_BROKERS") else {
        return not_run("TEST_KAFKA_BROKERS is not set");
    };
    let topics = |args: &[&str], partitions| {
        let env = [("KAFKA_BROKERS", brokers.as_str()), ("KAFKA_PARTITIONS", partitions)];
        let output = filesys(&[&["topics", "--output", "json"], args].concat(), &env);
        let states: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
        (code(&output), states, stderr(&output))
    };
    let (made, states, said) = topics(&[], "3");
    assert_eq!(made, 0, "{said}");
    let names: Vec<&Value> = states.iter().map(|one| &one["topic"]).collect();
    assert_eq!(names, ["file.create", "file.created", "file.events", "file.create.dlq"]);

    let again = topics(&[], "3");
    assert_eq!((again.0, &again.1, again.2.as_str()), (0, &states, ""), "nothing was left to make");
    assert_eq!(topics(&["--check"], "3").0, 0);
    let more = topics(&["--check"], "1");
    assert_eq!((more.0, &more.1[0]["state"]), (0, &json!("more")));

    for args in [&["--check"][..], &[]] {
        let (fewer, told, said) = topics(args, "1000");
        assert_eq!(fewer, 1, "{said}");
        for (before, now) in states.iter().zip(&told) {
            assert_eq!((&now["state"], &now["found"]), (&json!("fewer"), &before["found"]));
            let name = now["topic"].as_str().unwrap();
            let command = format!("--bootstrap-server {brokers} --alter --topic {name} --partitions 1000");
            assert!(said.contains(&command), "{said}");
        }
    }
}
