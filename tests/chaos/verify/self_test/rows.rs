//! Trials in PostgreSQL: rows, histories, keys, outbox, removals and dead letters are altered by statements.

use std::time::Duration;

use super::{Failure, SelfTest, Trial};
use crate::verify::drained;

/// Defects, the statements that make them, and the checks that must report them. `$one`, `$other` and `$cancelled` are files.
const TRIALS: [(&str, &str, &[&str]); 22] = [
    (
        "a row is gone",
        "DELETE FROM files WHERE id = $one",
        &[
            "accepted-lost",
            "orphan",
            "request-without-file",
            "request-unanswered",
            "poison-without-dead-letter",
            "event-without-change",
        ],
    ),
    (
        "a row without a request",
        "INSERT INTO files (id, title, status, created_at, updated_at, deadline_at, sequence)
         SELECT 900000, 'without a request', 'cancelled', created_at, created_at, deadline_at, 2
         FROM files WHERE id = $one;
         INSERT INTO transitions (file_id, at, from_status, to_status, attempt)
         SELECT 900000, created_at, v.f, v.t, 1
         FROM files, (VALUES (NULL, 'pending'), ('pending', 'cancelled')) v (f, t) WHERE id = $one",
        &["row-without-request", "event-missing", "request-missing"],
    ),
    (
        "a request has two rows",
        "INSERT INTO files (id, title, description, status, created_at, updated_at, deadline_at, sequence)
         SELECT 900000, title, description, 'failed', created_at, created_at, deadline_at, 2
         FROM files WHERE id = $one;
         INSERT INTO transitions (file_id, at, from_status, to_status, attempt, worker)
         SELECT 900000, created_at, v.f, v.t, 1, 'w'
         FROM files, (VALUES (NULL, 'pending'), ('pending', 'failed')) v (f, t) WHERE id = $one",
        &[
            "row-twice",
            "other-id",
            "key-differs",
            "event-missing",
            "request-missing",
            "outcome-unpublished",
            "failed-without-dead-letter",
        ],
    ),
    (
        "a description is another",
        "UPDATE files SET description = description || 'x' WHERE id = $one",
        &["other-content", "row-differs", "object-differs"],
    ),
    (
        "a file is not finished",
        "UPDATE files SET status = 'processing', s3_location = NULL, size = NULL, sha256 = NULL, sequence = 2,
                updated_at = (SELECT at FROM transitions WHERE file_id = $one AND to_status = 'processing')
         WHERE id = $one;
         DELETE FROM transitions WHERE file_id = $one AND to_status = 'completed'",
        &["unfinished", "orphan", "event-without-change"],
    ),
    (
        "a row went back and its history did not",
        "UPDATE files SET status = 'processing', s3_location = NULL, size = NULL, sha256 = NULL WHERE id = $one",
        &["unfinished", "orphan", "row-is-not-last-entry"],
    ),
    (
        "a status went back in the history",
        "INSERT INTO transitions (file_id, at, from_status, to_status, attempt)
         SELECT id, updated_at, 'completed', 'processing', 1 FROM files WHERE id = $one;
         INSERT INTO transitions (file_id, at, from_status, to_status, attempt, worker)
         SELECT id, updated_at, 'processing', 'completed', 1, 'w' FROM files WHERE id = $one;
         UPDATE files SET sequence = 5 WHERE id = $one",
        &["illegal-transition", "two-outcomes", "event-missing"],
    ),
    (
        "a second outcome was recorded",
        "INSERT INTO transitions (file_id, at, from_status, to_status, attempt, worker)
         SELECT id, updated_at, 'completed', 'completed', 1, 'w' FROM files WHERE id = $one",
        &["illegal-transition", "two-outcomes", "sequence-is-not-entries"],
    ),
    (
        "an attempt fell",
        "UPDATE transitions SET attempt = 2 WHERE file_id = $one AND to_status = 'processing'",
        &["illegal-transition", "event-differs"],
    ),
    (
        "the first entry is missing",
        "DELETE FROM transitions WHERE file_id = $one AND from_status IS NULL;
         UPDATE files SET sequence = 2 WHERE id = $one",
        &["illegal-transition", "event-differs", "event-without-change"],
    ),
    (
        "a request was published again, though no log was lost",
        "INSERT INTO transitions (file_id, at, from_status, to_status, attempt)
         SELECT id, updated_at, 'processing', 'processing', 2 FROM files WHERE id = $one;
         INSERT INTO transitions (file_id, at, from_status, to_status, attempt, worker, error)
         SELECT file_id, at, from_status, to_status, 2, worker, error FROM transitions
         WHERE file_id = $one AND to_status = 'completed';
         DELETE FROM transitions WHERE file_id = $one AND to_status = 'completed' AND attempt = 1;
         UPDATE files SET sequence = 4, attempt = 2 WHERE id = $one",
        &["republished", "event-differs", "event-missing", "request-missing", "outcome-unpublished"],
    ),
    (
        "a file failed without a result",
        "UPDATE transitions SET to_status = 'failed', worker = NULL, error = 'e'
         WHERE file_id = $one AND to_status = 'completed';
         UPDATE files SET status = 'failed', error = 'e', s3_location = NULL, size = NULL, sha256 = NULL
         WHERE id = $one",
        &["failed-without-result", "orphan", "event-differs"],
    ),
    (
        "a file failed that its worker had completed",
        "UPDATE transitions SET to_status = 'failed', error = 'e' WHERE file_id = $one AND to_status = 'completed';
         UPDATE files SET status = 'failed', error = 'e', s3_location = NULL, size = NULL, sha256 = NULL
         WHERE id = $one",
        &["outcome-unpublished", "failed-without-dead-letter", "orphan", "event-differs"],
    ),
    (
        "a row has another time than its last entry",
        "UPDATE files SET updated_at = updated_at + interval '1 second' WHERE id = $one",
        &["row-is-not-last-entry"],
    ),
    (
        "a location is that of another file",
        "UPDATE files SET s3_location = (SELECT s3_location FROM files WHERE id = $other) WHERE id = $one",
        &["location-not-its-own", "object-differs", "object-missing", "orphan"],
    ),
    (
        "a digest is wrong",
        "UPDATE files SET sha256 = reverse(sha256) WHERE id = $one",
        &["row-differs"],
    ),
    (
        "a cancelled file has an object",
        "UPDATE files SET s3_location = 's3://bucket/files/1_x_1.txt' WHERE id = $cancelled",
        &["object-of-unfinished"],
    ),
    (
        "a message is left in the outbox",
        "INSERT INTO outbox (event_id, topic, value, file_id) VALUES (gen_random_uuid(), 'file.events', '', $one)",
        &["outbox-left"],
    ),
    (
        "an object is left to be removed",
        "INSERT INTO object_removals (file_id, key, retry_at) VALUES ($one, 'files/1_x_1.txt', now())",
        &["removal-left"],
    ),
    (
        "a row of a dead letter that was never published",
        "INSERT INTO dead_letters (letter_id, kafka_partition, kafka_offset, original_topic, original_partition,
                original_offset, value, headers, error, received_at)
         VALUES (gen_random_uuid(), 0, 0, 'file.create', 0, 0, 'x', '{}', 'why', now())",
        &["dead-letter-row-without-record"],
    ),
    (
        "a key leads to another file",
        "UPDATE idempotency_keys SET file_id = $other WHERE file_id = $one",
        &["key-differs"],
    ),
    (
        "a key is forgotten",
        "DELETE FROM idempotency_keys WHERE file_id = $one",
        &["key-differs"],
    ),
];

/// Tables that the trials alter.
const TABLES: [&str; 6] =
    ["files", "transitions", "outbox", "object_removals", "idempotency_keys", "dead_letters"];

/// Checks of unfinished work.
const LEFT_TO_DO: [&str; 3] = ["unfinished", "outbox-left", "removal-left"];

pub(super) async fn trials(test: &mut SelfTest<'_>) -> Result<(), Failure> {
    // Triggers keep counts and titles beside the rows; TRUNCATE doesn't fire them, so restored titles would be there twice.
    test.client.batch_execute("ALTER TABLE files DISABLE TRIGGER USER").await?;
    let save = |table| format!("CREATE TEMP TABLE saved_{table} AS TABLE {table};");
    test.client.batch_execute(&TABLES.map(save).concat()).await?;
    let restore = |table| format!("INSERT INTO {table} SELECT * FROM saved_{table};");
    let restore_tables = format!("TRUNCATE {}; {}", TABLES.join(", "), TABLES.map(restore).concat());
    for (broke, sql, expected) in TRIALS {
        let sql = sql
            .replace("$one", &test.subjects.one.id.to_string())
            .replace("$other", &test.subjects.other.id.to_string())
            .replace("$cancelled", &test.subjects.cancelled.to_string());
        test.client.batch_execute(&sql).await?;
        test.expect(broke, expected).await;
        if expected.iter().any(|check| LEFT_TO_DO.contains(check)) {
            test.wait(expected).await;
        }
        test.client.batch_execute(&restore_tables).await?;
    }
    test.client.batch_execute("ALTER TABLE files ENABLE TRIGGER USER").await?;
    test.wait(&[]).await;
    test.expect("nothing, once the rows are restored", &[]).await;
    Ok(())
}

impl SelfTest<'_> {
    /// Checks that `drained` waits for unfinished work and for nothing else.
    async fn wait(&mut self, expected: &[&str]) {
        let left = drained(&self.evidence, Duration::ZERO).await.err().unwrap_or_default();
        let reported: Vec<String> = left.iter().map(|found| found.check.to_owned()).collect();
        let expected = expected.iter().filter(|check| LEFT_TO_DO.contains(check));
        let expected: Vec<String> = expected.map(|check| (*check).to_owned()).collect();
        let passed = expected == reported;
        self.trials.push(Trial { broke: "the same, waited for", expected, reported, passed });
    }
}
