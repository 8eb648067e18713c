//! Kafka shared by all tests of real processes that run at the same time; each has its own topics and groups.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::roles::site::{OUT_OF_LINE, TWICE};
use crate::support::kafka_tools::{GroupMember, KafkaTools, Offsets, Seen};
use crate::support::own::Own;
use crate::support::process::Process;
use crate::support::processes::Processes;
use crate::support::{Api, eventually_within, holds, unique};

pub const WORKERS: &str = "file-service-group";
pub const SERVES: &str = "api-service-group";

/// Time limit for tools and processes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Shortest session timeout that brokers allow.
pub const SESSION: Duration = Duration::from_secs(6);
pub const SHORT_SESSION: (&str, &str) = ("KAFKA_SESSION_TIMEOUT", "6s");

/// Topics and groups of one test on a broker that several share.
pub struct Cluster {
    kafka: Arc<Own>,
    prefix: String,
    pub processes: Processes,
}

impl Cluster {
    pub async fn shared() -> Option<Self> {
        Self::with_prefix(unique("it-") + ".").await
    }

    /// Uses topics and groups without a prefix, which only one test can do.
    pub async fn with_default_names() -> Option<Self> {
        Self::with_prefix(String::new()).await
    }

    /// Shares a broker with the tests that run at the same time; the last one stops it.
    async fn with_prefix(prefix: String) -> Option<Self> {
        static RUNNING: Mutex<Weak<Own>> = Mutex::const_new(Weak::new());
        let mut running = RUNNING.lock().await;
        let kafka = match running.upgrade() {
            Some(kafka) => kafka,
            None => Arc::new(Own::kafka().await?),
        };
        *running = Arc::downgrade(&kafka);
        Some(Self { processes: Processes::new(&kafka.address, &prefix).await, prefix, kafka })
    }

    pub fn tools(&self) -> KafkaTools<'_> {
        KafkaTools { kafka: &self.kafka, prefix: &self.prefix }
    }

    /// Waits until the group is stable, its members own these numbers of partitions (sorted), and each partition has one
    /// owner.
    pub async fn shares(&self, group: &str, expected: &[usize]) -> Vec<GroupMember> {
        self.shares_within(PATIENCE, group, expected).await
    }

    async fn shares_within(&self, limit: Duration, group: &str, expected: &[usize]) -> Vec<GroupMember> {
        let what = format!("the members of {group} own {expected:?} and it is stable");
        eventually_within(limit, &what, async || {
            let members = self.tools().members(group).await?;
            let mut shares: Vec<usize> = members.iter().map(|member| member.partitions.len()).collect();
            shares.sort_unstable();
            let mut owned: Vec<i32> = members.iter().flat_map(|member| member.partitions.clone()).collect();
            owned.sort_unstable();
            let count = i32::try_from(expected.iter().sum::<usize>()).unwrap();
            holds(shares == expected && owned.into_iter().eq(0..count), &members)?;
            let state = self.tools().state(group).await?;
            holds(state == ("Stable".to_owned(), expected.len()), state)?;
            Ok(members)
        })
        .await
    }

    /// Waits until every record of the group's topic is committed; returns their number.
    pub async fn no_lag(&self, group: &str) -> i64 {
        eventually_within(PATIENCE, &format!("{group} has no lag"), async || {
            let offsets = self.tools().offsets(group).await?;
            let is_committed =
                |at: &Offsets| at.end == 0 || at.committed == Some(at.end) && at.lag == Some(0);
            holds(!offsets.is_empty() && offsets.iter().all(is_committed), &offsets)?;
            Ok(offsets.iter().map(|at| at.end).sum())
        })
        .await
    }

    /// Checks the end state: each file was made once, by consecutive transitions, into one object.
    pub async fn assert_made_once(&self, api: &Api) {
        let ground = &self.processes.ground;
        assert_eq!(ground.database.one::<i64>(OUT_OF_LINE).await, 0, "moves that don't follow");
        assert_eq!(ground.database.one::<i64>(TWICE).await, 0, "moves made twice");
        let stats = api.stats().await;
        assert_eq!(stats.completed, stats.total);
        assert_eq!(ground.bucket.keys().await.len(), usize::try_from(stats.total).unwrap(), "an object each");
    }

    /// Number of records that the group lags by.
    pub async fn lag(&self, group: &str) -> Seen<i64> {
        let offsets = self.tools().offsets(group).await?;
        Ok(offsets.iter().map(|at| at.end - at.committed.unwrap_or(0)).sum())
    }

    /// Number of rebalances that the coordinator has completed, by its log.
    pub fn generations(&self, group: &str) -> usize {
        let line = format!("Stabilized group {}{group} generation", self.prefix);
        self.kafka.read("kafka/kafka.log").matches(&line).count()
    }
}

pub async fn ask(api: &Api, count: usize) {
    api.post_files((0..count).map(|n| format!("file {n}"))).await;
}

pub async fn all_completed(api: &Api) {
    eventually_within(PATIENCE, "every file is completed", async || {
        let stats = api.stats().await;
        holds(stats.completed == stats.total, stats)
    })
    .await;
}

pub fn clients(members: &[GroupMember]) -> Vec<&str> {
    members.iter().map(|member| member.client.as_str()).collect()
}

pub fn partitions_of<'a>(members: &'a [GroupMember], client: &str) -> &'a [i32] {
    &members.iter().find(|member| member.client == client).unwrap().partitions
}

/// Waits until each of the partitions was assigned to one of these processes; returns the time since `since` by their logs,
/// as tools are too slow.
pub async fn taken_over(topic: &str, partitions: &[i32], by: &[&Process], since: DateTime<Utc>) -> Duration {
    let mut last = since;
    for partition in partitions {
        let name = format!("{topic}-{partition}");
        let at = eventually_within(PATIENCE, &format!("{name} is taken over"), async || {
            let logs: Vec<String> = by.iter().map(|process| process.log()).collect();
            let at = logs.iter().flat_map(|log| assignments(log, &name)).find(|&at| at >= since);
            at.ok_or_else(|| logs.concat())
        })
        .await;
        last = last.max(at);
    }
    (last - since).to_std().unwrap()
}

/// Times at which the process was assigned this partition, by its log.
pub fn assignments(log: &str, name: &str) -> impl Iterator<Item = DateTime<Utc>> {
    let lines = log.lines().filter(move |line| {
        let named = line.split_once("partitions assigned partitions=").map(|(_, names)| names);
        named.is_some_and(|names| names.split(',').any(|assigned| assigned == name))
    });
    // [2026-01-03T00:00:00.000Z INFO  …
    lines.map(|line| line[1..].split_once(' ').unwrap().0.parse().unwrap())
}
