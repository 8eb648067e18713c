//! Consumer groups as Kafka's own tools show them, while real processes work, start, stop and die.

use std::time::Duration;

use chrono::Utc;
use filesys::domain::Status;
use filesys::domain::messages::topics;
use nix::sys::signal::Signal;

use super::cluster::{
    Cluster, PATIENCE, SERVES, SESSION, SHORT_SESSION, WORKERS, all_completed, ask, assignments, clients,
    partitions_of, taken_over,
};
use crate::support::kafka_tools::GroupMember;
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::{eventually_within, holds};

/// Time limit of the contract until added partitions are used.
const NOTICED: Duration = Duration::from_secs(30);
/// Time limit of the contract from SIGTERM to the next owner.
const HANDED_OVER: Duration = Duration::from_secs(2);
/// Time limit for a dead member's partitions after its session timeout.
const AFTER_SESSION: Duration = Duration::from_secs(5);

/// Settings that give each process a client id, and a processing delay.
fn slow_worker(cluster: &Cluster, client_id: &str) -> Process {
    let slowly = [("PROCESSING_DELAY_MS", "200"), ("WORKER_CONCURRENCY", "4")];
    let settings = [&[SHORT_SESSION, ("KAFKA_CLIENT_ID", client_id)][..], &slowly].concat();
    cluster.processes.worker(1, &settings)
}

/// Prints the output of a tool, for `--nocapture`.
fn print_table(members: &[GroupMember]) {
    eprintln!("{} member(s):", members.len());
    for member in members {
        eprintln!("    {:<16} {:?}", member.client, member.partitions);
    }
}

/// Waits until it has begun more files than it has finished.
async fn has_work_under_way(worker: &Process) {
    eventually_within(PATIENCE, "the worker has work under way", async || {
        let log = worker.log();
        let [begun, ended] = ["processing started", "result published"].map(|line| log.matches(line).count());
        holds(begun > ended && ended > 0, (begun, ended))
    })
    .await;
}

#[tokio::test]
async fn kafka_shows_who_works_and_how_far() {
    let Some(cluster) = Cluster::with_default_names().await else { return };
    cluster.processes.spawn(&["migrate"], &[]).succeed_within(PATIENCE).await;
    let (serve, api) = cluster.processes.serve(&[]).await;
    let mut workers = Vec::new();
    for shares in [&[3][..], &[1, 2], &[1, 1, 1]] {
        workers.push(cluster.processes.worker(1, &[]));
        let members = cluster.shares(WORKERS, shares).await;
        print_table(&members);
        assert!(clients(&members).iter().all(|client| *client == "file-service-1"));
    }
    let fourth = cluster.processes.worker(1, &[("KAFKA_CLIENT_ID", "night-shift")]);
    let members = cluster.shares(WORKERS, &[0, 1, 1, 1]).await;
    print_table(&members);
    assert_eq!(partitions_of(&members, "night-shift-1"), [] as [i32; 0], "who has work keeps it");
    let members = cluster.shares(SERVES, &[3]).await;
    assert_eq!(clients(&members), ["api-service"]);
    let groups = cluster.tools().groups().await.unwrap();
    assert!([WORKERS, SERVES].iter().all(|group| groups.iter().any(|name| name == group)), "{groups:?}");

    ask(&api, 300).await;
    all_completed(&api).await;
    assert_eq!(cluster.no_lag(WORKERS).await, 300);
    assert_eq!(cluster.no_lag(SERVES).await, 600, "a beginning and an end for each");
    let published = cluster.tools().ends(topics::CREATE).await.unwrap();
    assert_eq!(published.values().sum::<i64>(), 300);

    // A stand-by goes, then one of those that work: nobody waits for either.
    fourth.stop_within(STOP_LIMIT).await;
    let third = workers.pop().unwrap();
    let log = third.log();
    let is_its = |n: &i32| assignments(&log, &format!("{}-{n}", topics::CREATE)).next().is_some();
    let its: Vec<i32> = (0..3).filter(is_its).collect();
    let since = Utc::now();
    third.stop_within(STOP_LIMIT).await;
    let after = taken_over(topics::CREATE, &its, &[&workers[0], &workers[1]], since).await;
    assert!(after < HANDED_OVER, "{after:?}");
    cluster.shares(WORKERS, &[1, 2]).await;

    for worker in workers {
        worker.stop_within(STOP_LIMIT).await;
    }
    ask(&api, 200).await;
    eventually_within(PATIENCE, "200 requests wait in an empty group", async || {
        let lag = cluster.lag(WORKERS).await?;
        let state = cluster.tools().state(WORKERS).await?;
        holds(lag == 200 && state == ("Empty".to_owned(), 0), (lag, state))
    })
    .await;
    let pair = cluster.processes.worker(2, &[]);
    all_completed(&api).await;
    assert_eq!(cluster.no_lag(WORKERS).await, 500);
    assert_eq!(cluster.no_lag(SERVES).await, 1000);
    let members = cluster.shares(WORKERS, &[1, 2]).await;
    assert_eq!(clients(&members), ["file-service-1", "file-service-2"]);
    pair.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn kafka_gives_added_partitions_to_processes_that_run() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[]).await;
    let worker = cluster.processes.worker(2, &[]);
    cluster.shares(WORKERS, &[1, 2]).await;
    ask(&api, 30).await;
    all_completed(&api).await;

    for (topic, process) in [(topics::CREATE, &worker), (topics::CREATED, &serve)] {
        let since = Utc::now();
        cluster.tools().alter_partitions(topic, 6).await;
        let command = (Utc::now() - since).to_std().unwrap();
        let after = taken_over(topic, &[3, 4, 5], &[process], since).await.saturating_sub(command);
        eprintln!("the new partitions of {topic} are assigned {after:?} after they were added");
        assert!(after < NOTICED, "{after:?}");
        assert_eq!(cluster.tools().partitions(topic).await.unwrap(), 6);
    }
    eventually_within(NOTICED, "files come by way of the new partitions", async || {
        ask(&api, 3).await;
        let sql = "SELECT count(DISTINCT kafka_partition) FROM transitions WHERE kafka_partition >= 3";
        let partitions: i64 = cluster.processes.ground.database.one(sql).await;
        holds(partitions == 3, partitions)
    })
    .await;
    cluster.shares(WORKERS, &[3, 3]).await;
    cluster.shares(SERVES, &[6]).await;
    ask(&api, 60).await;
    all_completed(&api).await;
    let files = api.stats().await.total;
    assert_eq!(cluster.no_lag(WORKERS).await, files);
    assert_eq!(cluster.no_lag(SERVES).await, 2 * files);
    for topic in [topics::CREATE, topics::CREATED] {
        let ends = cluster.tools().ends(topic).await.unwrap();
        assert!([3, 4, 5].iter().all(|partition| ends[partition] > 0), "{topic}: {ends:?}");
    }
    worker.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn kafka_gives_a_workers_partitions_to_others_when_it_stops_and_when_it_dies() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[SHORT_SESSION]).await;
    let [first, second, third] = ["first", "second", "third"].map(|name| slow_worker(&cluster, name));
    let members = cluster.shares(WORKERS, &[1, 1, 1]).await;
    assert_eq!(clients(&members), ["first-1", "second-1", "third-1"]);

    // Another group, whose members may be silent for longer.
    let patient = cluster.processes.worker(
        1,
        &[
            ("KAFKA_GROUP_ID", "patient-group"),
            ("KAFKA_CLIENT_ID", "patient"),
            ("KAFKA_SESSION_TIMEOUT", "60s"),
        ],
    );
    cluster.shares("patient-group", &[3]).await;

    ask(&api, 200).await;
    has_work_under_way(&first).await;
    let its = partitions_of(&members, "first-1");
    let since = Utc::now();
    let died = tokio::time::Instant::now();
    tokio::join!(first.kill9(), patient.kill9());
    let after = taken_over(topics::CREATE, its, &[&second, &third], since).await;
    eprintln!("taken over {after:?} after SIGKILL");
    assert!(after < SESSION + AFTER_SESSION, "{after:?}");
    // Longer than the default.
    tokio::time::sleep_until(died + Duration::from_secs(12)).await;
    let patients = cluster.tools().members("patient-group").await.unwrap();
    assert_eq!(clients(&patients), ["patient-1"], "{:?} after its death", died.elapsed());
    let members = cluster.shares(WORKERS, &[1, 2]).await;
    assert_eq!(clients(&members), ["second-1", "third-1"]);
    all_completed(&api).await;

    ask(&api, 200).await;
    has_work_under_way(&second).await;
    let its = partitions_of(&members, "second-1");
    let since = Utc::now();
    second.signal(Signal::SIGTERM);
    let after = taken_over(topics::CREATE, its, &[&third], since).await;
    eprintln!("taken over {after:?} after SIGTERM");
    assert!(after < HANDED_OVER, "{after:?}");
    let members = cluster.shares(WORKERS, &[3]).await;
    assert_eq!(clients(&members), ["third-1"]);
    second.succeed_within(STOP_LIMIT).await;
    all_completed(&api).await;
    assert_eq!(cluster.no_lag(WORKERS).await, 400);
    third.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn kafka_sees_no_rebalance_while_jobs_outlast_the_session() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[SHORT_SESSION]).await;
    let worker = cluster.processes.worker(2, &[SHORT_SESSION, ("PROCESSING_DELAY_MS", "15000")]);
    let before = cluster.shares(WORKERS, &[1, 2]).await;
    let generations = cluster.generations(WORKERS);
    assert!(generations > 0);

    // Round robin: one for each partition.
    let files = api.post_files((0..3).map(|n| format!("a long job {n}"))).await;
    let posted = tokio::time::Instant::now();
    let mut looks_after_a_session = 0;
    loop {
        looks_after_a_session += usize::from(posted.elapsed() > SESSION);
        let state = cluster.tools().state(WORKERS).await.unwrap();
        assert_eq!(state, ("Stable".to_owned(), 2), "{:?} after the request", posted.elapsed());
        assert_eq!(cluster.tools().members(WORKERS).await.unwrap(), before);
        let stats = api.stats().await;
        if stats.completed == 3 {
            break;
        }
        assert!(posted.elapsed() < PATIENCE, "{stats:?}");
    }
    assert!(looks_after_a_session > 0);
    assert_eq!(cluster.generations(WORKERS), generations);
    assert_eq!(cluster.no_lag(WORKERS).await, 3);
    for file in files {
        let timeline = api.timeline(file.id).await;
        let moves: Vec<_> = timeline.iter().map(|line| (line.to, line.attempt.0)).collect();
        assert_eq!(moves, [(Status::Pending, 1), (Status::Processing, 1), (Status::Completed, 1)]);
        assert!(timeline[2].duration_ms.unwrap() >= 15_000, "{timeline:?}");
    }
    assert_eq!(worker.log().matches("processing started").count(), 3);
    worker.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}
