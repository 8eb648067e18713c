//! Services of one test that can be stopped and killed, the roles on them, and a load that checks its answers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use filesys::config::S3Config;
use filesys::domain::{File, FileId};
use filesys::embedded::{DataDir, Durability, EmbeddedS3, S3Options};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::own::Own;
use crate::support::process::Process;
use crate::support::{Answer, Api, Ports, eventually, eventually_within, holds, unique, within};

/// Time in which work resumes after its service has recovered, with room for a loaded machine.
pub const RECOVERY: Duration = Duration::from_secs(10);
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Shortest session timeout that brokers allow; a member that is silent for longer has to rejoin its group.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// History entries that don't begin where the last one ended.
pub const OUT_OF_LINE: &str = "SELECT count(*) FROM (
    SELECT from_status, lag(to_status) OVER (PARTITION BY file_id ORDER BY id) AS last FROM transitions
) AS line WHERE from_status IS DISTINCT FROM last";

/// Transitions that one attempt of a file made more than once.
pub const TWICE: &str = "SELECT count(*) FROM (
    SELECT 1 FROM transitions GROUP BY file_id, to_status, attempt HAVING count(*) > 1) AS twice";

/// S3 server in this process that can be stopped and started again, with or without its objects.
pub struct Store {
    data: DataDir,
    server: Option<EmbeddedS3>,
    config: S3Config,
    _ports: Ports,
    _dir: TempDir,
}

impl Store {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Kept through a restart, so out of the range that the system gives to clients.
        let ports = Ports::reserve();
        std::fs::write(dir.path().join("s3.port"), ports.first.to_string()).unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let server = EmbeddedS3::start(S3Options { data_dir: data.clone(), durability: Durability::Fast });
        let server = server.await.unwrap();
        let config = server.s3_config("outages");
        Self { data, server: Some(server), config, _ports: ports, _dir: dir }
    }

    pub async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    pub async fn start_again(&mut self) {
        let options = S3Options { data_dir: self.data.clone(), durability: Durability::Fast };
        let server = EmbeddedS3::start(options).await.unwrap();
        assert_eq!(Some(server.endpoint()), self.config.endpoint, "somebody took its port");
        self.server = Some(server);
    }

    pub fn bucket(&self) -> std::path::PathBuf {
        self.data.path().join("objects/.v2/buckets").join(&self.config.bucket)
    }

    pub fn forget_everything(&self) {
        std::fs::remove_dir_all(self.bucket()).unwrap();
    }
}

/// Services of one test, and the settings that its processes share.
pub struct Site {
    pub postgres: Own,
    pub store: Store,
    kafka: Option<Own>,
    dir: TempDir,
}

impl Site {
    /// Starts the services without Kafka, for `filesys up`; the database is empty and there is no bucket.
    pub async fn new() -> Self {
        let (postgres, store) = tokio::join!(Own::postgres(), Store::start());
        Self { postgres, store, kafka: None, dir: tempfile::tempdir().unwrap() }
    }

    /// Starts the services with Kafka, where it is available.
    pub async fn with_kafka() -> Option<Self> {
        let kafka = Own::kafka().await?;
        Some(Self { kafka: Some(kafka), ..Self::new().await })
    }

    pub fn kafka(&self) -> &Own {
        self.kafka.as_ref().unwrap()
    }

    pub fn env(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let s3 = &self.store.config;
        let session_timeout = SESSION_TIMEOUT.as_millis().to_string();
        let mut all = vec![
            ("PORT", "0"),
            ("DATABASE_URL", &self.postgres.address),
            ("S3_ENDPOINT", s3.endpoint.as_deref().unwrap()),
            ("S3_BUCKET", &s3.bucket),
            ("AWS_ACCESS_KEY_ID", &s3.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", s3.secret_access_key.expose_secret()),
        ];
        if let Some(kafka) = &self.kafka {
            all.push(("KAFKA_BROKERS", &kafka.address));
            all.push(("KAFKA_SESSION_TIMEOUT", &session_timeout));
        }
        all.extend(more);
        all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub fn spawn(&self, args: &[&str], more: &[(&str, &str)]) -> Process {
        let log = self.dir.path().join(unique(args[0]));
        Process::spawn(args, &self.env(more), &log)
    }

    /// Starts a role; it listens when this returns.
    pub async fn serve(&self) -> (Process, Api) {
        listening(self.spawn(&["serve"], &[])).await
    }

    pub fn worker(&self) -> Process {
        self.spawn(&["worker", "--replicas", "2"], &[("WORKER_CONCURRENCY", "4")])
    }

    /// Starts `up`, slow enough to have work in flight during an outage.
    pub fn spawn_up(&self, more: &[(&str, &str)]) -> Process {
        let slowly = [("PROCESSING_DELAY_MS", "50"), ("WORKER_CONCURRENCY", "4")];
        let data_dir = self.dir.path().join("data");
        self.spawn(&["up", "--data-dir", data_dir.to_str().unwrap()], &[&slowly, more].concat())
    }

    /// Output of `filesys migrate` during an outage.
    pub async fn migrate_in_vain(&self, more: &[(&str, &str)]) -> String {
        let began = Instant::now();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_filesys"));
        command.arg("migrate").env_clear().envs(self.env(more)).kill_on_drop(true);
        let output = within(PATIENCE, "migrate", command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{said}");
        let reasons: Vec<&str> = said.lines().filter(|line| line.starts_with("filesys: ")).collect();
        assert!(reasons.len() == 1 && said.lines().count() <= 2, "{said}");
        assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
        reasons[0].to_owned()
    }

    pub async fn one<T>(&self, sql: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let url = SecretString::from(self.postgres.address.clone());
        crate::support::services::connect(&url).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Checks the end state: every accepted file was made once, by consecutive transitions, on the first attempt.
    pub async fn assert_whole(&self, api: &Api, accepted: &BTreeSet<FileId>) {
        let stats = eventually_within(PATIENCE, "every file is completed", async || {
            let stats = api.stats().await;
            if stats.completed == stats.total { Ok(stats) } else { Err(format!("{stats:?}")) }
        })
        .await;
        assert_eq!(stats.failed, 0);
        let files = api.all_files("/files?limit=200").await;
        let ids: BTreeSet<FileId> = files.iter().map(|file| file.id).collect();
        let lost: Vec<_> = accepted.difference(&ids).collect();
        assert!(lost.is_empty(), "accepted and gone: {lost:?}");
        assert_eq!(self.one::<i64>(OUT_OF_LINE).await, 0, "moves that don't begin where the last one ended");
        assert_eq!(self.one::<i64>(TWICE).await, 0, "moves made twice");
        eventually("the outbox is empty", async || {
            let left: i64 = self.one("SELECT count(*) FROM outbox").await;
            holds(left == 0, left)
        })
        .await;
    }
}

pub async fn listening(process: Process) -> (Process, Api) {
    let address = eventually_within(RECOVERY * 3, "it listens", async || {
        let log = process.log();
        let address =
            log.rsplit_once("listening address=").and_then(|(_, rest)| rest.split_whitespace().next());
        address.map(str::to_owned).ok_or(log)
    })
    .await;
    (process, Api::at(&format!("http://{address}")))
}

/// Status of `/readyz`, and its members `status`, `database`, `kafka` and `storage`.
pub async fn readiness(api: &Api) -> String {
    let answer = api.get("/readyz").await;
    let health: Value = answer.json();
    let part = |name: &str| health[name].as_str().unwrap().to_owned();
    format!("{} {} {} {} {}", answer.status, part("status"), part("database"), part("kafka"), part("storage"))
}

pub async fn wait_until_ready(api: &Api, expected: &str) {
    eventually_within(PATIENCE, expected, async || {
        let seen = readiness(api).await;
        holds(seen == expected, seen)
    })
    .await;
}

/// Steady stream of requests and probes.
pub struct Traffic<'a> {
    pub api: &'a Api,
    pub accepted: BTreeSet<FileId>,
    pub refused: usize,
}

impl<'a> Traffic<'a> {
    pub fn new(api: &'a Api) -> Self {
        Self { api, accepted: BTreeSet::new(), refused: 0 }
    }

    /// Posts a file: 201 or, where allowed, 503 with `Retry-After`; anything else fails the test.
    pub async fn post(&mut self, may_refuse: bool) {
        let answer = self.api.post(&json!({"title": "during an outage"})).await;
        match answer.status {
            201 => drop(self.accepted.insert(answer.json::<File>().id)),
            503 if may_refuse => {
                is_refusal(&answer, "database_unavailable");
                self.refused += 1;
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }

    pub async fn post_many(&mut self, count: usize) {
        for _ in 0..count {
            self.post(false).await;
        }
    }

    /// Posts and probes during an outage. Returns the probe's answers.
    pub async fn go_on(&mut self, how_long: Duration, may_refuse: bool) -> BTreeSet<String> {
        let began = Instant::now();
        let mut seen = BTreeSet::new();
        eventually("the outage has lasted", async || {
            self.post(may_refuse).await;
            assert_eq!(self.api.get("/livez").await.status, 200);
            seen.insert(readiness(self.api).await);
            holds(began.elapsed() >= how_long, began.elapsed())
        })
        .await;
        seen
    }

    pub async fn completed(&self) -> i64 {
        let answer = self.api.get("/files/stats").await;
        if answer.status == 200 { answer.json::<filesys::domain::Stats>().completed } else { -1 }
    }

    /// Checks the times from the recovery of the service to the next completed file, and to the last one.
    pub async fn recovers(&self, what: &str, back: Instant, before: i64) {
        eventually_within(PATIENCE, &format!("{what}: work goes on"), async || {
            let completed = self.completed().await;
            holds(completed > before, completed)
        })
        .await;
        let first = back.elapsed();
        let stats = eventually_within(PATIENCE, &format!("{what}: all is done"), async || {
            let stats = self.api.stats().await;
            if stats.completed == stats.total { Ok(stats) } else { Err(format!("{stats:?}")) }
        })
        .await;
        eprintln!(
            "{what}: first file {first:?}, all {} files {:?} after it answered; {} requests refused",
            stats.total,
            back.elapsed(),
            self.refused
        );
    }
}

pub fn is_refusal(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    assert_eq!(answer.problem()["code"], code);
}

pub async fn migrated(site: &Site) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_filesys"));
    command.arg("migrate").env_clear().envs(site.env(&[])).kill_on_drop(true);
    let output = within(PATIENCE, "migrate", command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
