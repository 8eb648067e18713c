//! PostgreSQL killed repeatedly, its sessions ended, its connections exhausted: callers get 503 with `Retry-After`, and
//! accepted files stay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filesys::domain::{File, FileId};
use secrecy::SecretString;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::roles::site::{PATIENCE, Site, is_refusal, listening, wait_until_ready};
use crate::support::process::STOP_LIMIT;
use crate::support::{Answer, Api, eventually, eventually_within, holds, services};

const KILLS: usize = 5;
const CUTS: usize = 5;
const CLIENTS: usize = 4;

/// Time limit of the contract from the first answer of PostgreSQL to the first accepted request.
const HEALED: Duration = Duration::from_secs(3);

/// Texts that no caller may see: SQL, and messages of PostgreSQL and its driver.
const INSIDE: [&str; 11] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "relation",
    "FATAL",
    "terminating",
    "postgres",
    "diesel",
    "syntax",
    "socket",
    "127.0.0.1:",
];

/// Tells whether it was done; otherwise it must be 503 with `Retry-After` and without internals.
fn is_done(answer: &Answer) -> bool {
    let text = answer.text();
    if matches!(answer.status, 200 | 201) {
        return true;
    }
    // A standby that is not promoted yet.
    let read_only = answer.problem()["code"] == "database_read_only";
    is_refusal(answer, if read_only { "database_read_only" } else { "database_unavailable" });
    let seen = INSIDE.iter().find(|word| text.to_lowercase().contains(&word.to_lowercase()));
    assert_eq!(seen, None, "{text}");
    false
}

/// Clients that request files and read lists, as fast as they are answered.
pub(super) struct Load {
    tasks: JoinSet<BTreeSet<FileId>>,
    accepted: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Load {
    pub fn start(base: &str) -> Self {
        let [accepted, refused] = [(); 2].map(|()| Arc::<AtomicUsize>::default());
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for client in 0..CLIENTS {
            let (api, stop) = (Api::at(base), stop.clone());
            let counters = (Arc::clone(&accepted), Arc::clone(&refused));
            tasks.spawn(async move {
                let mut ids = BTreeSet::new();
                while !stop.is_cancelled() {
                    let answer = api.post(&json!({"title": format!("of client {client}")})).await;
                    if is_done(&answer) {
                        ids.insert(answer.json::<File>().id);
                        counters.0.fetch_add(1, Ordering::Relaxed);
                    } else {
                        counters.1.fetch_add(1, Ordering::Relaxed);
                    }
                    let _seen = is_done(&api.get("/files?limit=5").await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ids
            });
        }
        Self { tasks, accepted, refused, stop }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests are accepted.
    pub async fn goes_on(&self, count: usize) {
        let before = self.accepted();
        eventually_within(PATIENCE, "files are accepted", async || {
            holds(self.accepted() >= before + count, self.accepted())
        })
        .await;
    }

    pub async fn is_refused(&self) {
        let before = self.refused();
        eventually_within(PATIENCE, "files are refused", async || holds(self.refused() > before, before))
            .await;
    }

    /// Accepted files; a client that got a wrong answer has panicked.
    pub async fn end(self) -> BTreeSet<FileId> {
        self.stop.cancel();
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

#[tokio::test]
async fn postgresql_killed_and_cut_off_again_and_again_under_load_loses_nothing_that_was_accepted() {
    let site = Site::new().await;
    let (process, api) = listening(site.spawn_up(&[("PROCESSING_DELAY_MS", "0")])).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let load = Load::start(&api.base);
    let mut healed = Vec::new();
    for _ in 0..KILLS {
        load.goes_on(20).await;
        site.postgres.kill().await;
        load.is_refused().await;
        site.postgres.start_again().await;
        let back = Instant::now();
        load.goes_on(1).await;
        healed.push(back.elapsed());
    }
    for _ in 0..CUTS {
        load.goes_on(20).await;
        let cut: i64 = site.one(CUT).await;
        assert!(cut > 0);
        let back = Instant::now();
        load.goes_on(1).await;
        healed.push(back.elapsed());
    }
    eprintln!("{} accepted, {} refused; accepts again after {healed:?}", load.accepted(), load.refused());
    assert!(healed.iter().all(|after| *after < HEALED), "{healed:?}");
    let accepted = load.end().await;
    site.assert_whole(&api, &accepted).await;
    process.stop_within(STOP_LIMIT).await;
}

/// Ends every session but this one.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn while_every_connection_is_taken_requests_are_refused_in_time_and_afterwards_served() {
    /// Limit of two waits: for a connection, and for a statement.
    const IN_TIME: Duration = Duration::from_secs(30);
    const READERS: usize = 12;
    let site = Site::new().await;
    let (process, api) = listening(site.spawn_up(&[("DATABASE_MAX_CONNECTIONS", "2")])).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let file = api.completed_file("before").await;

    let url = SecretString::from(site.postgres.address.clone());
    let holder = services::connect(&url).await;
    holder.batch_execute("BEGIN; LOCK TABLE files IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let began = Instant::now();
    let path = format!("/files/{}", file.id);
    let reads = (0..READERS).map(|_| api.get(&path));
    let during = json!({"title": "during"});
    let writes = (0..READERS).map(|_| api.post(&during));
    let (reads, writes, alive) = tokio::join!(
        futures_util::future::join_all(reads),
        futures_util::future::join_all(writes),
        api.get("/livez"),
    );
    let took = began.elapsed();
    assert_eq!(alive.status, 200);
    for answer in reads.iter().chain(&writes) {
        assert!(!is_done(answer), "nobody can read or write: {answer:?}");
    }
    eprintln!("{} requests are refused within {took:?}", reads.len() + writes.len());
    assert!(took < IN_TIME, "{took:?}");

    holder.batch_execute("COMMIT").await.unwrap();
    let back = Instant::now();
    eventually("a file is accepted", async || {
        let answer = api.post(&json!({"title": "after"})).await;
        holds(is_done(&answer), answer)
    })
    .await;
    let healed = back.elapsed();
    eprintln!("accepts again after {healed:?}");
    assert!(healed < HEALED, "{healed:?}");
    site.assert_whole(&api, &BTreeSet::from([file.id])).await;
    process.stop_within(STOP_LIMIT).await;
}
