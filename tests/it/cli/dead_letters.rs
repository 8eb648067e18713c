//! `filesys dead-letters`, which needs a database only.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{code, filesys, stderr, stdout};
use crate::support::Database;

/// Dead letters 1 to 4: of file 1, which failed; of no file; of an unknown topic; resolved before.
const DEAD_LETTERS: &str = r#"
    INSERT INTO files (title, status, error, deadline_at) VALUES ('a', 'failed', 'why', now());
    INSERT INTO dead_letters (letter_id, kafka_partition, kafka_offset, original_topic, original_partition,
        original_offset, record_key, value, headers, file_id, attempt, error, received_at, state, settled_at)
    VALUES
        (gen_random_uuid(), 0, 0, 'file.create', 2, 15, '1', '{"fileId":1}', '{"event-id": "e"}', 1, 1,
            'can''t be read', '2026-01-03T00:00:00Z', 'open', NULL),
        (gen_random_uuid(), 0, 1, 'file.created', 0, 7, NULL, '\xff00', '{}', NULL, NULL,
            E'odd \x1b[31m', '2026-01-03T00:00:01Z', 'open', NULL),
        (gen_random_uuid(), 0, 2, 'theirs', 0, 0, NULL, 'x', '{}', NULL, NULL, 'e', now(), 'open', NULL),
        (gen_random_uuid(), 0, 3, NULL, NULL, NULL, NULL, NULL, '{}', NULL, NULL, 'e', now(), 'replayed', now());"#;

struct Case {
    database: Database,
}

impl Case {
    async fn new() -> Self {
        let database = Database::migrated().await;
        database.connect().await.batch_execute(DEAD_LETTERS).await.unwrap();
        Self { database }
    }

    /// Exit code, stdout, stderr.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let env = [("DATABASE_URL", self.database.url().expose_secret())];
        let output = filesys(&[&["dead-letters"], args].concat(), &env);
        (code(&output), stdout(&output), stderr(&output))
    }

    fn json(&self, args: &[&str]) -> Value {
        let (code, out, said) = self.run(&[args, &["--output", "json"]].concat());
        assert_eq!(code, 0, "{said}");
        serde_json::from_str(&out).unwrap()
    }

    fn ids(&self, args: &[&str]) -> Vec<i64> {
        let list = self.json(&[&["list"], args].concat());
        list.as_array().unwrap().iter().map(|dead_letter| dead_letter["id"].as_i64().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_shown_for_people_and_for_programs() {
    let case = Case::new().await;
    assert_eq!(case.ids(&[]), [3, 2, 1]);
    assert_eq!(case.ids(&["--state", "replayed"]), [4]);
    assert_eq!(case.ids(&["--state", "discarded"]), [0; 0]);
    assert_eq!(case.ids(&["--state", "all", "--limit", "2"]), [4, 3]);
    let (_, table, said) = case.run(&["list", "--limit", "3"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(said, "");
    assert!(lines[0].starts_with("ID  STATE  RECEIVED"), "{table}");
    assert!(
        lines[3].starts_with("1   open   2026-01-03T00:00:00.000Z  file.create-2@15  1     1"),
        "{table}"
    );
    assert!(!table.contains('\x1b') && lines.len() == 4, "{table}");
    let (_, _, said) = case.run(&["list", "--limit", "1"]);
    assert!(said.contains("more dead letters than the limit"), "{said}");

    let one = case.json(&["show", "1"]);
    assert_eq!((&one["value"], &one["key"]), (&json!("{\"fileId\":1}"), &json!("1")));
    assert_eq!(case.json(&["show", "2"])["value_base64"], "/wA=");
    let (_, text, _) = case.run(&["show", "1"]);
    for line in ["error     can't be read\n", "header    event-id: e\n", "origin    file.create-2@15\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.ends_with("value     text, 12 bytes\n\n{\"fileId\":1}\n"), "{text}");
    let (_, text, _) = case.run(&["show", "2"]);
    assert!(text.ends_with("value     base64, 2 bytes\n\n/wA=\n") && !text.contains('\x1b'), "{text}");
    assert!(case.run(&["show", "4"]).1.ends_with("value     none\n"));
    let (code, out, said) = case.run(&["show", "77"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(said, "filesys: there is no dead letter with id 77\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_needs_the_database_only_and_is_done_once() {
    let case = Case::new().await;
    let (code, out, said) = case.run(&["replay", "1", "4"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("dead letter 1: file 1 is asked for again, as attempt 2\n"), "{out}");
    assert!(out.contains("dead letter 4: it was replayed before, so nothing was done\n"), "{out}");
    let queued = "SELECT string_agg(topic, ',' ORDER BY id) FROM outbox";
    let once: String = case.database.one(queued).await;
    assert_eq!(once, "file.events,file.create");
    assert_eq!(case.run(&["replay", "1"]).0, 0);
    assert_eq!(case.database.one::<String>(queued).await, once);

    // One that can't be done is told, the others are.
    let (code, out, said) = case.run(&["replay", "--all-open"]);
    assert_eq!((code, out.as_str()), (1, "dead letter 2: its record goes to file.created again\n"), "{said}");
    assert!(said.contains("filesys: 1 of 2 not replayed\n  dead letter 3: it can't be replayed"), "{said}");
    let value: Vec<u8> = case.database.one("SELECT value FROM outbox WHERE topic = 'file.created'").await;
    assert_eq!(value, b"\xff\0");

    assert_eq!(case.run(&["discard", "--all-open"]).1, "dead letter 3: it is discarded\n");
    assert_eq!(case.run(&["discard", "--all-open"]), (0, "none is open\n".to_owned(), String::new()));
    assert_eq!(case.run(&["discard", "1"]).0, 1, "it was replayed");
    assert_eq!(case.ids(&["--state", "all"]), [4, 3, 2, 1]);
}

#[test]
fn a_wrong_command_line_and_a_database_that_is_away_have_their_exit_codes() {
    for args in [
        &[][..],
        &["replay"],
        &["discard"],
        &["replay", "x"],
        &["replay", "0"],
        &["replay", "1", "--all-open"],
        &["list", "--state", "lost"],
        &["list", "--limit", "0"],
        &["show"],
    ] {
        assert_eq!(code(&filesys(&[&["dead-letters"], args].concat(), &[])), 2, "{args:?}");
    }
    assert_eq!(code(&filesys(&["dead-letters", "list"], &[])), 78);
    let away = [("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")];
    for args in [&["list"][..], &["show", "1"], &["replay", "1"], &["discard", "--all-open"]] {
        let output = filesys(&[&["dead-letters"], args].concat(), &away);
        assert_eq!(code(&output), 69, "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("hunter2"));
    }
}
