//! Rebalances all the time: workers join and leave, partitions are added, under a steady load.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use filesys::domain::messages::topics;
use tokio::time::Instant;

use super::cluster::{Cluster, PATIENCE, SHORT_SESSION, WORKERS, all_completed};
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::{Api, eventually_within, holds};

/// Interval at which a worker joins and another one leaves, and how often that happens.
const EVERY: Duration = Duration::from_secs(2);
const MEMBERS: usize = 10;
/// Number of partitions from then on, by the number of the worker that joins.
const MORE: [(usize, usize); 2] = [(3, 6), (6, 12)];
const PARTITIONS: i32 = 12;

/// Time limits of the contract: a partition without an owner, and a new one without use.
const UNOWNED: Duration = Duration::from_secs(20);
const USED: Duration = Duration::from_secs(30);

/// Assignments and revocations of one process, or its end.
#[derive(Debug)]
enum Event {
    Given(Vec<i32>),
    Taken(Vec<i32>),
    Ended,
}

fn events(log: &str) -> Vec<(DateTime<Utc>, Event)> {
    let partitions = |names: &str| -> Vec<i32> {
        names.split(',').map(|name| name.trim().rsplit_once('-').unwrap().1.parse().unwrap()).collect()
    };
    let event = |line: &str| {
        let at = line.strip_prefix('[')?.split_once(' ')?.0.parse().ok()?;
        let after = |text| line.split_once(text).map(|(_, names)| partitions(names));
        let event = after("partitions assigned partitions=").map(Event::Given);
        let event = event.or_else(|| after("partitions revoked partitions=").map(Event::Taken));
        Some((at, event.or_else(|| line.contains("worker stopped").then_some(Event::Ended))?))
    };
    log.lines().filter_map(event).collect()
}

/// Time in which a partition had an owner.
type Span = (DateTime<Utc>, DateTime<Utc>);

/// Number of partitions, and the time since which there were so many.
type Added = Vec<(usize, DateTime<Utc>)>;

/// Times in which each partition had an owner, by the logs of all workers; `end` is now.
fn spans(logs: &[String], end: DateTime<Utc>) -> BTreeMap<i32, Vec<Span>> {
    let mut spans: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for log in logs {
        let mut owned: BTreeMap<i32, DateTime<Utc>> = BTreeMap::new();
        for (at, event) in events(log).into_iter().chain([(end, Event::Ended)]) {
            let gone = match event {
                Event::Given(partitions) => {
                    owned.extend(partitions.into_iter().map(|partition| (partition, at)));
                    Vec::new()
                }
                Event::Taken(partitions) => partitions,
                Event::Ended => owned.keys().copied().collect(),
            };
            for partition in gone {
                let since = owned.remove(&partition).unwrap_or(at);
                spans.entry(partition).or_default().push((since, at));
            }
        }
    }
    for spans in spans.values_mut() {
        spans.sort_unstable();
    }
    spans
}

/// Longest time without an owner.
fn longest_gap(spans: &[Span]) -> Duration {
    let mut covered = spans[0].1;
    let mut longest = Duration::ZERO;
    for (from, to) in spans {
        longest = longest.max((*from - covered).to_std().unwrap_or_default());
        covered = covered.max(*to);
    }
    longest
}

/// Requests files at intervals, as long as it is polled.
async fn light_load(api: &Api) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for n in 0.. {
        ticks.tick().await;
        api.post_file(&format!("file {n}")).await;
    }
}

/// Starts workers one after the other; from the third on the oldest leaves each time. Returns those that are left, the logs
/// of the others, and the times at which partitions were added.
async fn storm(cluster: &Cluster) -> (Vec<Process>, Vec<String>, Added) {
    let (mut workers, mut logs, mut added) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for (number, turn) in (1..=MEMBERS).zip(1..) {
        workers.push(cluster.processes.worker(1, &[SHORT_SESSION]));
        if let Some((_, partitions)) = MORE.iter().find(|(at, _)| *at == number) {
            cluster.tools().alter_partitions(topics::CREATE, *partitions).await;
            added.push((*partitions, Utc::now()));
        }
        tokio::time::sleep_until(began + EVERY * turn).await;
        if workers.len() > 2 {
            let oldest = workers.remove(0);
            let log = oldest.path();
            oldest.stop_within(STOP_LIMIT).await;
            logs.push(std::fs::read_to_string(log).unwrap());
        }
    }
    (workers, logs, added)
}

#[tokio::test]
async fn kafka_workers_that_come_and_go_while_partitions_are_added_leave_none_of_them_alone() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[]).await;
    let (workers, mut logs, added) = tokio::select! {
        storm = storm(&cluster) => storm,
        () = light_load(&api) => unreachable!("it never ends"),
    };
    eventually_within(PATIENCE, "files come by way of every partition", async || {
        api.post_files((0..12).map(|n| format!("after the storm {n}"))).await;
        let used: i64 = cluster.processes.ground.database.one(USED_PARTITIONS).await;
        holds(used == i64::from(PARTITIONS), used)
    })
    .await;
    all_completed(&api).await;
    let end = Utc::now();
    cluster.assert_made_once(&api).await;
    let files = api.stats().await.total;
    assert_eq!(cluster.no_lag(WORKERS).await, files);

    logs.extend(workers.iter().map(Process::log));
    let spans = spans(&logs, end);
    assert!(spans.keys().copied().eq(0..PARTITIONS), "{spans:?}");
    for (partition, spans) in &spans {
        let gap = longest_gap(spans);
        assert!(gap < UNOWNED, "{partition} had no owner for {gap:?}: {spans:?}");
    }
    let longest = spans.values().map(|spans| longest_gap(spans)).max().unwrap();
    eprintln!("{files} files; no partition was without an owner for more than {longest:?}");
    assert_used_soon(&cluster, &added).await;
    for worker in workers {
        worker.stop_within(STOP_LIMIT).await;
    }
    serve.stop_within(STOP_LIMIT).await;
}

const USED_PARTITIONS: &str =
    "SELECT count(DISTINCT kafka_partition) FROM transitions WHERE to_status = 'completed'";

/// Time from the creation of each new partition to its first file.
async fn assert_used_soon(cluster: &Cluster, added: &[(usize, DateTime<Utc>)]) {
    let sql = "SELECT kafka_partition, min(at) FROM transitions
        WHERE to_status = 'completed' GROUP BY kafka_partition ORDER BY kafka_partition";
    let connection = cluster.processes.ground.database.connect().await;
    for row in connection.query(sql, &[]).await.unwrap() {
        let (partition, used): (i32, std::time::SystemTime) = (row.get(0), row.get(1));
        let is_its = |(count, _): &&(usize, DateTime<Utc>)| usize::try_from(partition).unwrap() < *count;
        // Those that were there from the beginning have no such time.
        let Some((_, since)) = added.iter().find(is_its).filter(|_| partition >= 3) else { continue };
        let after = (DateTime::<Utc>::from(used) - *since).to_std().unwrap_or_default();
        eprintln!("partition {partition} is used {after:?} after it was added");
        assert!(after < USED, "{partition}: {after:?}");
    }
}
