//! Roles with wrong or jumping clocks: they show wrong times, and nothing else goes wrong.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filesys::actions::provision;
use filesys::domain::{self, Attempt};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::kafka::run::{PATIENCE, Run};
use crate::support::process::STOP_LIMIT;
use crate::support::{Answer, Api, Bucket, eventually, eventually_within, holds, within};

const HOUR: i64 = 3600;
/// Deadline, much shorter than the clocks' error.
const DEADLINE: &str = "30m";
/// Time in which `serve` looks for expired files and lost requests at least once.
const A_LOOK: Duration = Duration::from_secs(12);

/// Roles whose wall clock is wrong by so many seconds; the monotonic clock stays right.
struct WrongClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WrongClock {
    /// `library` is `support/wrong_clock.c`.
    fn new(library: &Path, name: &str, offset: i64) -> Self {
        let clock = Self { library: library.to_owned(), offset: library.with_file_name(name) };
        clock.jump(offset);
        clock
    }

    fn jump(&self, offset: i64) {
        // In its place: it is mapped.
        let file = File::options().create(true).write(true).truncate(false).open(&self.offset).unwrap();
        file.write_all_at(&offset.to_ne_bytes(), 0).unwrap();
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", self.library.to_str().unwrap()), ("WRONG_CLOCK", self.offset.to_str().unwrap())]
    }
}

async fn compiled(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/wrong_clock.c");
    let library = folder.join("wrong_clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    let output = within(PATIENCE, "the compiler", compiler.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    library
}

async fn ask(api: &Api, key: &str) -> Answer {
    let body = json!({ "title": key });
    Answer::of(api.request(Method::POST, "/files").header("idempotency-key", key).json(&body)).await
}

/// Posts half of the files at each serve, and repeats each at the other under the same key.
async fn ask_both(apis: [&Api; 2], batch: &str) -> Vec<domain::File> {
    let mut files = Vec::new();
    for n in 0..20 {
        let key = format!("{batch} {n}");
        let (first, other) = (apis[n % 2], apis[(n + 1) % 2]);
        let file: domain::File = ask(first, &key).await.json();
        let again = ask(other, &key).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{key}");
        assert_eq!(again.json::<domain::File>().id, file.id);
        files.push(file);
    }
    files
}

#[tokio::test]
async fn roles_with_wrong_clocks_expire_nothing_take_over_nothing_and_make_every_file() {
    let Some(run) = Run::new().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let library = compiled(folder.path()).await;
    let clock = |name, hours: i64| WrongClock::new(&library, name, hours * HOUR);
    let deadline = ("FILE_DEADLINE", DEADLINE);
    provision::topics(&run.kafka, 3, None).await.unwrap();

    // A day and an hour: also the keys of a day would be forgotten.
    let ahead = clock("ahead", 25);
    let (serve, api) = run.serve_with("serve", &[deadline]).await;
    let wrong = [&ahead.settings()[..], &[deadline]].concat();
    let (serve_ahead, api_ahead) = run.serve_with("serve-ahead", &wrong).await;
    let apis = [&api, &api_ahead];
    let mut files = ask_both(apis, "waits").await;
    // Until the one that is ahead has looked at files that nobody makes yet.
    tokio::time::sleep(A_LOOK).await;

    let behind = clock("behind", -25);
    let jumping = clock("jumping", 0);
    let slowly = [("PROCESSING_DELAY_MS", "50"), ("WORKER_CONCURRENCY", "4")];
    let worker = |clock: &WrongClock, name| {
        run.spawn(&["worker", "--replicas", "2"], name, &[&clock.settings()[..], &slowly].concat())
    };
    let workers = [worker(&behind, "worker-behind"), worker(&jumping, "worker-jumping")];
    let published = || workers[1].log().matches("result published").count();
    for hours in [2, -2, 0] {
        let before = published();
        jumping.jump(hours * HOUR);
        let mut batch = 0;
        // The others may be done before Kafka gives it a partition.
        eventually_within(PATIENCE, "work for the one whose clock jumped", async || {
            batch += 1;
            files.extend(ask_both(apis, &format!("at {hours}, {batch}")).await);
            eventually_within(PATIENCE, "every file is completed", async || {
                let stats = api.stats().await;
                holds(stats.completed == stats.total, stats)
            })
            .await;
            holds(published() > before, batch)
        })
        .await;
    }

    let keys = run.ground.bucket.keys().await;
    assert_eq!(keys.len(), files.len());
    for file in &files {
        let made = api.file(file.id).await;
        assert_eq!((made.attempt, made.created_at), (Attempt::FIRST, file.created_at));
        let ending = format!("_{}.txt", file.created_at.epoch_millis());
        assert!(made.s3_location.as_ref().is_some_and(|place| place.ends_with(&ending)), "{made:?}");
        let times: Vec<_> = api.timeline(file.id).await.into_iter().map(|line| line.at).collect();
        assert!(times.is_sorted() && times[0] == file.created_at, "{times:?}");
    }
    let strange = "SELECT count(*) FROM files WHERE abs(extract(epoch FROM now() - created_at)) > 600";
    assert_eq!(run.ground.database.one::<i64>(strange).await, 0);
    let seconds = api_ahead.stats().await.oldest_unfinished_seconds;
    assert_eq!(seconds, None);

    // What needs the store at once, by signatures of a clock that it would not take.
    let content = api_ahead.content(files[0].id).await.ok();
    assert_eq!(content.body, api.content(files[0].id).await.ok().body);
    let path = format!("/files/{}", files[0].id);
    assert_eq!(Answer::of(api_ahead.request(Method::DELETE, &path)).await.status, 204);
    eventually("the object is removed", async || {
        let keys = run.ground.bucket.keys().await.len();
        holds(keys == files.len() - 1, keys)
    })
    .await;
    if Bucket::is_embedded() {
        for process in [&serve_ahead, &workers[0], &workers[1]] {
            assert!(process.log().contains("requests are signed by the store's"), "{}", process.log());
        }
    }
    for process in workers.into_iter().chain([serve_ahead, serve]) {
        process.stop_within(STOP_LIMIT * 2).await;
    }
}
