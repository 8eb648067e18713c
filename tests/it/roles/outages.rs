//! Services that start late, stop, are killed and recover, while the roles go on: nothing is lost, nothing needs a restart,
//! and each outage is logged once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use filesys::domain::Status;
use serde_json::json;

use super::site::{PATIENCE, Site, Traffic, is_refusal, listening, migrated, readiness, wait_until_ready};
use crate::support::own::Own;
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::{eventually, eventually_within, holds};

/// Length of an outage whose log lines are checked.
const OUTAGE: Duration = Duration::from_secs(10);

/// Largest number of warnings and errors of one process in one outage.
const LINES: usize = 25;

/// Log of a process from this position on.
struct LogTail<'a> {
    process: &'a Process,
    from: usize,
}

impl<'a> LogTail<'a> {
    fn on(process: &'a Process) -> Self {
        Self { process, from: process.log().len() }
    }

    fn lines(&self) -> String {
        self.process.log()[self.from..].to_owned()
    }

    fn count(&self, text: &str) -> usize {
        self.lines().matches(text).count()
    }

    async fn waits_for(&self, text: &str) {
        eventually_within(PATIENCE, &format!("it says: {text}"), async || holds(self.count(text) > 0, ""))
            .await;
    }

    /// Checks that there are few lines, and these once or twice each.
    fn logged_once(&self, what: &str, texts: &[&str]) {
        let lines = self.lines();
        let troubles: Vec<&str> =
            lines.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
        eprintln!("{what}: {} lines, of them {} warnings and errors", lines.lines().count(), troubles.len());
        assert!(troubles.len() < LINES, "{what}:\n{}", troubles.join("\n"));
        for text in texts {
            // A service that stops in good order on a busy machine may take seconds in which some still reach it.
            assert!((1..=2).contains(&self.count(text)), "{what}: {text}:\n{lines}");
        }
    }
}

#[tokio::test]
async fn postgresql_that_stops_and_is_killed_loses_nothing_and_is_said_once() {
    let site = Site::new().await;
    let (process, api) = listening(site.spawn_up(&[])).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let mut traffic = Traffic::new(&api);
    for how in ["stopped", "killed"] {
        traffic.post_many(20).await;
        let log = LogTail::on(&process);
        match how {
            "stopped" => site.postgres.stop().await,
            _ => site.postgres.kill().await,
        }
        let seen = traffic.go_on(OUTAGE, true).await;
        assert!(seen.contains("503 unavailable down up up"), "{seen:?}");
        assert!(
            !seen.contains("503 unavailable up up up") && !seen.contains("200 ready down up up"),
            "{seen:?}"
        );
        log.logged_once(&format!("postgresql {how}"), &["postgresql unavailable"]);
        assert!(traffic.refused > 0);

        site.postgres.start_again().await;
        let back = Instant::now();
        // Nobody could be asked before; all that completes from here on counts.
        let before = eventually("it can be asked", async || {
            let completed = traffic.completed().await;
            if completed < 0 { Err("not yet".to_owned()) } else { Ok(completed) }
        })
        .await;
        eventually("a request is accepted", async || {
            let refused = traffic.refused;
            traffic.post(true).await;
            holds(traffic.refused == refused, refused)
        })
        .await;
        traffic.recovers(&format!("postgresql {how}"), back, before).await;
        log.waits_for("postgresql recovered").await;
        log.logged_once(
            &format!("postgresql {how} and back"),
            &["postgresql unavailable", "postgresql recovered"],
        );
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
        eventually("it listens to PostgreSQL again", async || {
            let count: i64 = site.one(listening).await;
            holds(count == 1, count)
        })
        .await;
    }
    site.assert_whole(&api, &traffic.accepted).await;
    process.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn s3_that_stops_under_load_fails_no_file_and_a_lost_bucket_is_recreated() {
    let mut site = Site::new().await;
    let (process, api) = listening(site.spawn_up(&[])).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let mut traffic = Traffic::new(&api);
    traffic.post_many(1).await;
    let made_before = *traffic.accepted.first().unwrap();
    api.wait_until_completed(made_before).await;
    for how in ["stopped", "emptied"] {
        traffic.post_many(20).await;
        let log = LogTail::on(&process);
        site.store.stop().await;
        let before = traffic.completed().await;
        let seen = traffic.go_on(OUTAGE, false).await;
        assert_eq!(seen, BTreeSet::from(["200 degraded up up down".to_owned()]));
        is_refusal(&api.content(made_before).await, "storage_unavailable");
        log.logged_once(&format!("s3 {how}"), &["s3 unavailable"]);
        // Once for each worker, or twice: connections that are open may work for a moment after new ones are refused.
        assert!((1..=4).contains(&log.count("consumer stalled")), "{}", log.count("consumer stalled"));

        if how == "emptied" {
            site.store.forget_everything();
        }
        site.store.start_again().await;
        traffic.recovers(&format!("s3 {how}"), Instant::now(), before).await;
        log.waits_for("s3 recovered").await;
        log.logged_once(&format!("s3 {how} and back"), &["s3 unavailable", "s3 recovered"]);
        wait_until_ready(&api, "200 ready up up up").await;
        assert_eq!(log.count("bucket was gone"), usize::from(how == "emptied"));
    }
    assert_eq!(api.content(made_before).await.problem()["code"], "object_missing");

    // While nothing else is wrong.
    let log = LogTail::on(&process);
    site.store.forget_everything();
    wait_until_ready(&api, "200 degraded up up down").await;
    traffic.post_many(8).await;
    site.assert_whole(&api, &traffic.accepted).await;
    wait_until_ready(&api, "200 ready up up up").await;
    assert_eq!(log.count("bucket was gone"), 1);
    process.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn localstack_that_ends_and_forgets_everything_fails_no_file() {
    let Some(s3) = Own::s3().await else { return };
    let site = Site::new().await;
    let settings = [
        ("S3_ENDPOINT", s3.address.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let (process, api) = listening(site.spawn_up(&settings)).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let mut traffic = Traffic::new(&api);
    for how in ["stopped", "killed"] {
        traffic.post_many(20).await;
        let log = LogTail::on(&process);
        match how {
            "stopped" => s3.stop().await,
            _ => s3.kill().await,
        }
        let before = traffic.completed().await;
        traffic.go_on(OUTAGE, false).await;
        log.logged_once(&format!("localstack {how}"), &["s3 unavailable"]);
        s3.start_again().await;
        traffic.recovers(&format!("localstack {how}"), Instant::now(), before).await;
        log.waits_for("s3 recovered").await;
        log.waits_for("bucket was gone").await;
        site.assert_whole(&api, &traffic.accepted).await;
    }
    process.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn up_waits_for_the_services_that_it_was_given() {
    let mut site = Site::new().await;
    site.postgres.stop().await;
    site.store.stop().await;
    let process = site.spawn_up(&[]);
    LogTail { process: &process, from: 0 }.waits_for("postgresql unavailable").await;
    site.postgres.start_again().await;
    let (process, api) = listening(process).await;
    let file = api.post_file("early").await;
    wait_until_ready(&api, "200 degraded up up down").await;
    api.wait_until(file.id, Status::Processing).await;
    site.store.start_again().await;
    let back = Instant::now();
    api.wait_until_completed(file.id).await;
    eprintln!("up before s3: first file {:?} after it answered", back.elapsed());
    process.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn migrate_says_in_one_line_which_service_is_away() {
    let mut site = Site::new().await;
    site.postgres.stop().await;
    // Of no use to filesys: nothing listens there.
    let no_kafka = [("KAFKA_BROKERS", "127.0.0.1:1")];
    let said = site.migrate_in_vain(&no_kafka).await;
    assert!(said.contains("postgresql is unavailable"), "{said}");
    site.postgres.start_again().await;
    let said = site.migrate_in_vain(&no_kafka).await;
    assert!(said.contains("kafka is unavailable"), "{said}");
    site.store.stop().await;
}

#[tokio::test]
async fn kafka_roles_that_start_before_their_services_say_so_and_work_when_they_are_there() {
    let Some(mut site) = Site::with_kafka().await else { return };
    site.postgres.stop().await;
    site.kafka().stop().await;
    site.store.stop().await;
    let began = Instant::now();
    let (serve, api) = site.serve().await;
    let worker = site.worker();
    eprintln!("serve listens {:?} after its start", began.elapsed());
    assert_eq!(api.get("/livez").await.status, 200);
    wait_until_ready(&api, "503 unavailable down down down").await;
    is_refusal(&api.post(&json!({"title": "early"})).await, "database_unavailable");
    let (serve_log, worker_log) =
        (LogTail { process: &serve, from: 0 }, LogTail { process: &worker, from: 0 });
    for service in ["postgresql", "kafka", "s3"] {
        serve_log.waits_for(&format!("{service} unavailable")).await;
    }
    worker_log.waits_for("kafka unavailable").await;

    // PostgreSQL without the schema; `migrate` makes it before it finds that Kafka is away.
    let unmigrated = LogTail::on(&serve);
    site.postgres.start_again().await;
    unmigrated.waits_for("`filesys migrate` makes it").await;
    assert_eq!(readiness(&api).await, "503 unavailable down down down");
    is_refusal(&api.post(&json!({"title": "early"})).await, "database_unavailable");
    site.migrate_in_vain(&[]).await;
    wait_until_ready(&api, "200 degraded up down down").await;
    let file = api.post_file("first").await;

    site.kafka().start_again().await;
    let back = Instant::now();
    eventually_within(PATIENCE, "the worker has it", async || {
        let status = api.file(file.id).await.status;
        holds(status == Status::Processing, status)
    })
    .await;
    eprintln!("roles before kafka: at work {:?} after it answered", back.elapsed());
    wait_until_ready(&api, "200 degraded up up down").await;
    site.store.start_again().await;
    let back = Instant::now();
    api.wait_until_completed(file.id).await;
    eprintln!("roles before s3: first file {:?} after it answered", back.elapsed());
    wait_until_ready(&api, "200 ready up up up").await;
    for service in ["postgresql", "kafka", "s3"] {
        serve_log.waits_for(&format!("{service} recovered")).await;
    }
    serve_log.logged_once(
        "serve before its services",
        &["kafka unavailable", "kafka recovered", "s3 unavailable"],
    );
    worker_log.logged_once(
        "worker before its services",
        &["kafka unavailable", "kafka recovered", "s3 unavailable"],
    );
    worker.stop_within(STOP_LIMIT * 2).await;
    serve.stop_within(STOP_LIMIT * 2).await;

    each_alone(&mut site).await;
}

/// Restarts the roles while one service is unavailable.
async fn each_alone(site: &mut Site) {
    for (service, probe, may_refuse) in [
        ("postgresql", "503 unavailable down up up", true),
        ("kafka", "200 degraded up down up", false),
        ("s3", "200 degraded up up down", false),
    ] {
        match service {
            "postgresql" => site.postgres.stop().await,
            "kafka" => site.kafka().stop().await,
            _ => site.store.stop().await,
        }
        let (serve, api) = site.serve().await;
        let worker = site.worker();
        wait_until_ready(&api, probe).await;
        let mut traffic = Traffic::new(&api);
        traffic.post(may_refuse).await;
        assert_eq!(traffic.refused > 0, may_refuse);
        match service {
            "postgresql" => site.postgres.start_again().await,
            "kafka" => site.kafka().start_again().await,
            _ => site.store.start_again().await,
        }
        let back = Instant::now();
        wait_until_ready(&api, "200 ready up up up").await;
        traffic.post(false).await;
        traffic.recovers(&format!("roles before {service} alone"), back, 0).await;
        site.assert_whole(&api, &traffic.accepted).await;
        worker.stop_within(STOP_LIMIT * 2).await;
        serve.stop_within(STOP_LIMIT * 2).await;
    }
}

#[tokio::test]
async fn kafka_that_stops_and_is_killed_and_loses_topics_holds_nothing_up_afterwards() {
    let Some(site) = Site::with_kafka().await else { return };
    let worker = site.worker();
    let (serve, api) = site.serve().await;
    // Also the schema comes last.
    migrated(&site).await;
    wait_until_ready(&api, "200 ready up up up").await;
    let mut traffic = Traffic::new(&api);
    for how in ["stopped", "killed"] {
        traffic.post_many(20).await;
        let logs = [("serve", LogTail::on(&serve)), ("worker", LogTail::on(&worker))];
        match how {
            "stopped" => site.kafka().stop().await,
            _ => site.kafka().kill().await,
        }
        let before = traffic.completed().await;
        let seen = traffic.go_on(OUTAGE, false).await;
        assert_eq!(seen, BTreeSet::from(["200 degraded up down up".to_owned()]));
        for (role, log) in &logs {
            log.waits_for("kafka unavailable").await;
            log.logged_once(&format!("{role}, kafka {how}"), &["kafka unavailable"]);
        }
        site.kafka().start_again().await;
        traffic.recovers(&format!("kafka {how}"), Instant::now(), before).await;
        for (role, log) in &logs {
            log.waits_for("kafka recovered").await;
            log.logged_once(
                &format!("{role}, kafka {how} and back"),
                &["kafka unavailable", "kafka recovered"],
            );
        }
        site.assert_whole(&api, &traffic.accepted).await;
    }

    worker.stop_within(STOP_LIMIT * 2).await;
    serve.stop_within(STOP_LIMIT * 2).await;
}

#[tokio::test]
async fn kafka_topics_that_are_deleted_and_recreated_are_used_without_a_restart() {
    let Some(site) = Site::with_kafka().await else { return };
    migrated(&site).await;
    let worker = site.worker();
    let (serve, api) = site.serve().await;
    wait_until_ready(&api, "200 ready up up up").await;
    let mut traffic = Traffic::new(&api);
    traffic.post_many(20).await;
    traffic.recovers("at first", Instant::now(), 0).await;
    // A restart raises the leaders' epochs; those of new topics begin at 0 again.
    site.kafka().kill().await;
    site.kafka().start_again().await;
    traffic.post_many(3).await;
    traffic.recovers("broker killed", Instant::now(), 20).await;
    topics(&site, &["--delete", "--topic", "file.create"]).await;
    topics(&site, &["--delete", "--topic", "file.created"]).await;
    traffic.post_many(3).await;
    for topic in ["file.create", "file.created"] {
        topics(&site, &["--create", "--if-not-exists", "--topic", topic, "--partitions", "3"]).await;
    }
    let before = 23;
    traffic.recovers("topics recreated", Instant::now(), before).await;
    traffic.post_many(20).await;
    site.assert_whole(&api, &traffic.accepted).await;
    lag_is_gone(&site).await;
    worker.stop_within(STOP_LIMIT * 2).await;
    serve.stop_within(STOP_LIMIT * 2).await;
}

async fn topics(site: &Site, args: &[&str]) {
    site.kafka().run(&[&["tool", "topics"], args].concat()).await;
}

/// Waits until both groups have committed every record, by Kafka's own tool.
async fn lag_is_gone(site: &Site) {
    eventually_within(PATIENCE * 2, "both groups have no lag", async || {
        let table = site.kafka().run(&["tool", "consumer-groups", "--describe", "--all-groups"]).await;
        let lags: Vec<&str> = table
            .lines()
            .filter(|line| line.contains(" file.create"))
            .filter_map(|line| line.split_whitespace().nth(5))
            .collect();
        holds(!lags.is_empty() && lags.iter().all(|lag| *lag == "0" || *lag == "-"), table)
    })
    .await;
}
