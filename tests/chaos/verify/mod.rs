//! The judge: compares the journal, PostgreSQL, S3 and Kafka after a run, with queries of its own (I1–I10).

pub mod content;
mod drained;
mod findings;
mod history;
mod letters;
mod log;
mod message;
mod objects;
mod records;
mod rows;
pub mod self_test;
mod stories;

use std::time::{Duration, Instant};

use self::findings::Findings;
use self::log::Log;
use self::objects::{Objects, Store};
use self::records::Judge;
use self::rows::Reading;
use self::stories::Stories;
use crate::evidence::Evidence;

/// Violation: one thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Name in the list of invariants, such as `I4`.
    pub invariant: &'static str,
    /// Short name of the check.
    pub check: &'static str,
    pub detail: String,
}

/// What `verify` found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub counted: Counted,
}

/// Figures for the report.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counted {
    pub requests: u64,
    pub rows: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub deleted: u64,
    pub objects: u64,
    /// Objects read whole and compared byte by byte.
    pub objects_read: u64,
    /// Answered 201 and without a row, or completed and without the object.
    pub lost: u64,
    /// More than one row for one request, or a second outcome of one attempt that was applied.
    pub duplicate_effects: u64,
    /// Objects that no live row names.
    pub orphans: u64,
    /// Files that are not terminal.
    pub stuck: u64,
    /// Records on each topic, without the prefix.
    pub records: std::collections::BTreeMap<String, u64>,
    /// Records that came more than once under one event id, or as a repeated outcome of one attempt.
    pub duplicate_deliveries: u64,
    pub dead_letters: u64,
    /// How long the verifying took.
    pub took: Duration,
}

/// Why something could not be looked at.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Waits until nothing is left to do: no unfinished file, outbox and `object_removals` empty, no lag of any group.
/// The time that it took, or what was still left at the end of `limit` (I2, I4, I7, I8, I10).
pub async fn drained(evidence: &Evidence, limit: Duration) -> Result<Duration, Vec<Violation>> {
    drained::drained(evidence, limit).await
}

/// Compares everything with everything. Meant for after `drained`; takes the services as they are. What can't be
/// looked at is a violation too, `not-verified`.
pub async fn verify(evidence: &Evidence) -> Verdict {
    let started = Instant::now();
    let (mut findings, mut counted) = (Findings::default(), Counted::default());
    if let Err(error) = compare(evidence, &mut findings, &mut counted).await {
        findings.add("I8", "not-verified", || error.to_string());
    }
    let count = |checks: &[&str]| checks.iter().map(|check| findings.count(check)).sum::<u64>();
    counted.lost = count(&["accepted-lost", "object-missing", "move-lost"]);
    counted.orphans = count(&["orphan"]);
    counted.duplicate_effects =
        count(&["row-twice", "one-key-two-files", "two-outcomes", "request-twice", "fact-twice"]);
    counted.took = started.elapsed();
    Verdict { violations: findings.into_violations(), counted }
}

async fn compare(evidence: &Evidence, findings: &mut Findings, counted: &mut Counted) -> Result<(), Failure> {
    let stories = Stories::read(&evidence.journal)?;
    let store = Store::of(evidence)?;
    let client = rows::connect(evidence).await?;
    let mut objects = Objects::list(&store, counted, findings).await?;
    let log = Log::open(evidence).await?;
    let whole_since = log.is_whole_since(evidence.log_lost).await?;
    let reading = Reading {
        stories: &stories,
        objects: &mut objects,
        findings,
        counted,
        whole_since,
        bucket: &evidence.bucket,
    };
    let rows = reading.read(&client).await?;
    objects.settle(&store, counted, findings).await?;
    for left in drained::in_database(&client).await? {
        // Said for each file already.
        if left.check != "unfinished" {
            findings.add(left.invariant, left.check, || left.detail);
        }
    }
    let mut judge =
        Judge { evidence, log: &log, whole_since, rows: &rows, stories: &stories, findings, counted };
    let records = judge.read().await?;
    let letters = judge.read_letters(&client, &records).await?;
    judge.settle(&records, &letters).await
}
