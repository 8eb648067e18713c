//! Files through Apache Kafka, while the processes start, stop and die.

use bytes::Bytes;
use filesys::broker::{Broker, Delivery, Position, Record};
use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};
use serde_json::{Value, json};

use super::run::{PATIENCE, Run};
use crate::support::process::STOP_LIMIT;
use crate::support::records::{header, origin, records};
use crate::support::{Api, eventually, eventually_within, holds, unique};

impl Run {
    async fn publish(&self, topic: &str, value: impl Into<Bytes>) -> Position {
        let record = Record { value: Some(value.into()), ..Record::default() };
        self.kafka.publish(topic, vec![record]).await.remove(0).unwrap()
    }

    /// Waits for the dead letter of the record at this position.
    async fn dead_letter_of(&self, at: &Position) -> Delivery {
        eventually_within(PATIENCE, "the record is dead-lettered", async || {
            let dead_letters = records(&self.kafka, topics::DEAD_LETTERS).await;
            let mut dead_letters = dead_letters.map_err(|error| error.to_string())?;
            let ours = dead_letters.iter().position(|dead_letter| origin(dead_letter) == *at);
            ours.map(|ours| dead_letters.swap_remove(ours)).ok_or_else(|| format!("{dead_letters:?}"))
        })
        .await
    }

    async fn wait_until_all_completed(&self, api: &Api) {
        eventually_within(PATIENCE, "every file is completed and the outbox is empty", async || {
            let stats = api.stats().await;
            let outbox: i64 = self.ground.database.one("SELECT count(*) FROM outbox").await;
            holds(stats.completed == stats.total && outbox == 0, (stats, outbox))
        })
        .await;
    }
}

async fn ask(api: &Api, count: usize) -> Vec<File> {
    api.post_files((0..count).map(|n| format!("file {n}"))).await
}

async fn wait_until_some_completed(api: &Api, count: i64) {
    eventually_within(PATIENCE, &format!("{count} files are completed"), async || {
        let stats = api.stats().await;
        holds(stats.completed >= count, stats)
    })
    .await;
}

#[tokio::test]
async fn kafka_carries_every_file_between_processes_that_come_go_and_die() {
    let Some(run) = Run::new().await else { return };
    let (serve, api) = run.serve("serve-1").await;
    let mut files = ask(&api, 5).await;
    eventually_within(PATIENCE, "the topics are made and the requests published", async || {
        let outbox: i64 = run.ground.database.one("SELECT count(*) FROM outbox").await;
        holds(outbox == 0, outbox)
    })
    .await;

    a_worker_of_the_source_system_is_understood(&run, &api, files[0].id).await;

    let first = run.worker("worker-1");
    run.wait_until_all_completed(&api).await;
    for line in &api.timeline(files[1].id).await[1..] {
        assert!(line.worker.as_deref().is_some_and(|name| name.starts_with("file-service-")), "{line:?}");
        assert!(line.partition.is_some() && line.offset.is_some(), "{line:?}");
    }

    poison_is_dead_lettered_and_the_next_one_completes(&run, &api).await;

    // A worker that dies is replaced by the rest of its group.
    let second = run.worker("worker-2");
    files.extend(ask(&api, 150).await);
    wait_until_some_completed(&api, 20).await;
    first.kill9().await;
    run.wait_until_all_completed(&api).await;

    // While serve is dead workers go on; what they said is recorded by the next one.
    files.extend(ask(&api, 100).await);
    wait_until_some_completed(&api, i64::try_from(files.len() - 90).unwrap()).await;
    serve.kill9().await;
    let (serve, api) = run.serve("serve-2").await;
    run.wait_until_all_completed(&api).await;

    // What two workers made of one file under two names is removed in the background.
    eventually("there is one object for each file", async || {
        let keys = run.ground.bucket.keys().await;
        let of_one = |file: &&File| {
            let prefix = format!("files/{}_", file.id);
            keys.iter().filter(|key| key.starts_with(&prefix)).count() == 1
        };
        let total = api.stats().await.total;
        holds(
            files.iter().filter(of_one).count() == files.len() && i64::try_from(keys.len()) == Ok(total),
            &keys,
        )
    })
    .await;
    let backwards: i64 = run
        .ground
        .database
        .one("SELECT count(*) FROM transitions WHERE (from_status, to_status) = ('processing', 'pending') OR from_status = 'completed'")
        .await;
    assert_eq!(backwards, 0);

    second.stop_within(STOP_LIMIT * 2).await;
    serve.stop_within(STOP_LIMIT * 2).await;
}

fn key_of(location: &str) -> &str {
    location.split_once("/files/").map(|(bucket, _)| &location[bucket.len() + 1..]).unwrap()
}

/// Result of the source system: only its members, another time in the key, no attempt, no record key.
async fn a_worker_of_the_source_system_is_understood(run: &Run, api: &Api, id: FileId) {
    let location =
        format!("s3://{}/files/{id}_by_another_worker_1767398400000.txt", run.ground.bucket.name());
    let elsewhere = format!("s3://another-bucket/files/{id}_x_1.txt");
    let result = |location: &str| {
        json!({"fileId": id, "title": "a", "s3Location": location, "status": "completed",
               "timestamp": "2026-01-04T12:00:00.000Z"})
        .to_string()
    };
    let refused = run.publish(topics::CREATED, result(&elsewhere)).await;
    let dead_letter = run.dead_letter_of(&refused).await;
    assert_eq!(dead_letter.record.value, Some(Bytes::from(result(&elsewhere))));
    assert_eq!(api.file(id).await.status, Status::Pending);

    run.ground.bucket.made().await;
    run.ground.bucket.put(key_of(&location), b"made elsewhere").await;
    run.publish(topics::CREATED, result(&location)).await;
    let file = api.wait_until_completed(id).await;
    assert_eq!(file.s3_location, Some(location));
}

async fn poison_is_dead_lettered_and_the_next_one_completes(run: &Run, api: &Api) {
    let marker = unique("poison-");
    for value in [marker.clone(), format!(r#"{{"fileId":"{marker}"}}"#), format!("[\"{marker}\"]")] {
        let at = run.publish(topics::CREATE, value.clone()).await;
        let file = api.post_file("behind the poison").await;
        let dead_letter = run.dead_letter_of(&at).await;
        assert_eq!(dead_letter.record.value, Some(Bytes::from(value)));
        let cause = header(&dead_letter, "x-error");
        assert!(cause.contains("not a file.create message"), "{cause}");
        let same = format!("'{}-{}@{}'", at.topic, at.partition, at.offset);
        let sql = format!(
            "SELECT count(*) FROM dead_letters WHERE state = 'open' AND file_id IS NULL
             AND format('%s-%s@%s', original_topic, original_partition, original_offset) = {same}"
        );
        eventually_within(PATIENCE, "the dead letter is a row", async || {
            let rows: i64 = run.ground.database.one(&sql).await;
            holds(rows == 1, rows)
        })
        .await;
        api.wait_until_completed(file.id).await;
    }
    eventually("all is well", async || {
        let ready: Value = api.get("/readyz").await.json();
        holds(ready["status"] == "ready", ready)
    })
    .await;
}
