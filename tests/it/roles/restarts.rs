//! Graceful stops, crashes with work in flight, restarts on the same data.

use std::collections::{BTreeMap, BTreeSet};

use filesys::domain::messages::file_created::{FileResult, Outcome};
use filesys::domain::messages::topics;
use filesys::domain::{Attempt, File, FileId, Status};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::records::records;
use crate::support::{Ground, SharedKafka, TestApp, eventually, holds};

/// Rank of a status; recovery must never lower it.
fn rank(status: Status) -> usize {
    match status {
        Status::Pending => 0,
        Status::Processing => 1,
        Status::Completed => 2,
        Status::Uploading | Status::Failed | Status::Cancelled | Status::Deleted => {
            panic!("{status:?} was never asked for")
        }
    }
}

/// Last status of each file that the lists have shown.
#[derive(Default)]
struct Watch(BTreeMap<FileId, Status>);

impl Watch {
    async fn look(&mut self, app: &TestApp) -> usize {
        for file in app.all_files("/files?limit=200").await {
            let before = self.0.insert(file.id, file.status).unwrap_or(Status::Pending);
            assert!(
                rank(before) <= rank(file.status),
                "file {} went back from {before:?} to {:?}",
                file.id,
                file.status
            );
        }
        self.0.values().filter(|status| **status == Status::Completed).count()
    }

    async fn wait_until_completed(&mut self, app: &TestApp, count: usize) {
        eventually(&format!("{count} files are completed"), async || {
            let completed = self.look(app).await;
            holds(completed >= count, completed)
        })
        .await;
    }
}

/// History entries that don't begin where the last one ended, or that lower the rank.
const BACKWARDS: &str = "
    WITH line AS (
        SELECT from_status::text AS before, to_status::text AS after,
               lag(to_status::text) OVER (PARTITION BY file_id ORDER BY id) AS last,
               ARRAY['pending', 'processing', 'completed'] AS ranks
        FROM transitions)
    SELECT count(*) FROM line
    WHERE before IS DISTINCT FROM last OR array_position(ranks, before) > array_position(ranks, after)";

/// Checks the end state, which is the same whatever happened before.
async fn assert_whole(app: &TestApp, accepted: &BTreeSet<FileId>) {
    let files = app.all_files("/files?limit=200").await;
    let ids: BTreeSet<FileId> = files.iter().map(|file| file.id).collect();
    assert_eq!(ids.intersection(accepted).count(), accepted.len(), "accepted files are missing");
    let located: BTreeSet<String> = files.iter().map(|file| key_of(app, file)).collect();
    let stored: BTreeSet<String> = app.ground.bucket.keys().await.into_iter().collect();
    assert_eq!(stored, located, "one object for each file");
    assert_eq!(located.len(), files.len());

    assert_eq!(app.ground.database.one::<i64>(BACKWARDS).await, 0);
    eventually("the outbox is empty", async || {
        let left: i64 = app.ground.database.one("SELECT count(*) FROM outbox").await;
        holds(left == 0, left)
    })
    .await;
}

fn key_of(app: &TestApp, file: &File) -> String {
    let location = file.s3_location.as_deref().expect("a completed file is stored");
    let bucket = format!("s3://{}/", app.ground.bucket.name());
    location.strip_prefix(&bucket).expect("in our bucket").to_owned()
}

fn ids(files: &[File]) -> BTreeSet<FileId> {
    files.iter().map(|file| file.id).collect()
}

async fn processing(ground: &Ground) -> BTreeSet<FileId> {
    let connection = ground.database.connect().await;
    let rows = connection.query("SELECT id FROM files WHERE status = 'processing'", &[]).await.unwrap();
    rows.iter().map(|row| FileId(row.get(0))).collect()
}

async fn completed_by_workers(kafka: &SharedKafka) -> BTreeSet<FileId> {
    let records = records(&kafka.client(), topics::CREATED).await.unwrap();
    let results = records.iter().map(|delivery| {
        let value = delivery.record.value.as_deref().expect("a result has a value");
        serde_json::from_slice::<FileResult>(value).unwrap()
    });
    results.filter(|result| result.status == Outcome::Completed).map(|result| result.file_id).collect()
}

#[tokio::test]
async fn sigterm_with_jobs_in_flight_ends_cleanly_and_nothing_is_lost() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "1000"), ("WORKER_CONCURRENCY", "2")]).await;
    let accepted = ids(&app.post_files((0..40).map(|n| format!("file {n}"))).await);
    let mut watch = Watch::default();
    eventually("work is in flight", async || {
        watch.look(&app).await;
        let stats = app.stats().await;
        holds(stats.processing > 0 && stats.pending > 0, stats)
    })
    .await;
    let ground = app.stop().await;
    let begun = processing(&ground).await;
    let ended = match &ground.kafka {
        // What nobody had time to record waits on the topic.
        Some(kafka) => completed_by_workers(kafka).await,
        // The broker in the process forgets, so everything was recorded before the end.
        None => BTreeSet::new(),
    };
    assert!(begun.is_subset(&ended), "what was begun was ended: {begun:?} {ended:?}");
    let pending: i64 = ground.database.one("SELECT count(*) FROM files WHERE status = 'pending'").await;
    assert!(pending > 0, "there is something left to do");

    let app = ground.start(&[]).await;
    watch.wait_until_completed(&app, 40).await;
    assert_whole(&app, &accepted).await;
    app.stop().await;
}

#[tokio::test]
async fn killed_in_the_middle_of_200_files_it_completes_them_all_after_the_restart() {
    const SLOWLY: &[(&str, &str)] = &[("PROCESSING_DELAY_MS", "100"), ("WORKER_CONCURRENCY", "4")];
    let app = TestApp::start_with(SLOWLY).await;
    let accepted = ids(&app.post_files((0..200).map(|n| format!("file {n}"))).await);
    let mut watch = Watch::default();
    watch.wait_until_completed(&app, 40).await;
    let app = app.kill9().await.start(SLOWLY).await;
    watch.wait_until_completed(&app, 90).await;
    let ground = app.kill9().await;
    let completed: i64 = ground.database.one("SELECT count(*) FROM files WHERE status = 'completed'").await;
    assert!((90..200).contains(&completed), "killed in the middle: {completed}");

    let app = ground.start(&[]).await;
    watch.wait_until_completed(&app, 200).await;
    assert_whole(&app, &accepted).await;
    app.stop().await;
}

#[tokio::test]
async fn every_request_that_was_accepted_while_the_process_was_killed_is_there_afterwards() {
    let app = TestApp::start().await;
    let posts: Vec<_> = (0..300)
        .map(|n| {
            let request = app.request(reqwest::Method::POST, "/files");
            let request = request.json(&json!({"title": format!("file {n}")}));
            tokio::spawn(async move {
                let answer = request.send().await.ok()?;
                let created = answer.status() == 201;
                let file: File = answer.json().await.ok()?;
                created.then_some(file.id)
            })
        })
        .collect();
    eventually("some are accepted", async || {
        let total = app.stats().await.total;
        holds(total > 20, total)
    })
    .await;
    let ground = app.kill9().await;
    let mut accepted = BTreeSet::new();
    for post in posts {
        accepted.extend(post.await.unwrap());
    }
    assert!(!accepted.is_empty());

    let app = ground.start(&[]).await;
    let stats = app.wait_until_all_completed().await;
    assert!(usize::try_from(stats.total).unwrap() >= accepted.len());
    assert_whole(&app, &accepted).await;
    app.stop().await;
}

#[tokio::test]
async fn signals_that_come_together_are_one() {
    let app = TestApp::start().await;
    let file = app.post_file("a").await;
    for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGINT] {
        app.process.signal(signal);
    }
    // SIGTERM once more, and an end with success.
    let ground = app.stop().await;
    let log = std::fs::read_to_string(ground.log()).unwrap();
    assert!(log.contains("stopping") && !log.contains("second signal: "), "{log}");
    let app = ground.start(&[]).await;
    app.wait_until_completed(file.id).await;
    app.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "600")]).await;
    let file = app.post_file("slow").await;
    app.wait_until(file.id, Status::Processing).await;
    let ground: Ground = app.interrupt_twice().await;
    // Kafka delivers the same request again; one that went with the broker in the process is republished.
    let attempt = if ground.kafka.is_some() { Attempt::FIRST } else { Attempt(2) };
    let app = ground.start(&[]).await;
    let file = app.wait_until_completed(file.id).await;
    assert_eq!(file.attempt, attempt);
    app.stop().await;
}
