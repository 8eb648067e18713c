//! The verifier: compares the journal, PostgreSQL, S3 and Kafka after a run, with queries of its own (I1–I10).

mod answers;
pub mod content;
mod dead_letters;
mod drained;
mod history;
mod journal;
mod log;
mod message;
mod objects;
mod records;
mod rows;
pub mod self_test;
mod topics;
mod uploads;
mod violations;

use std::time::{Duration, Instant};

use self::journal::Journal;
use self::log::Log;
use self::objects::{Objects, Store};
use self::rows::RowReader;
use self::topics::TopicChecker;
pub use self::violations::Violation;
use self::violations::Violations;
use crate::evidence::Evidence;

/// Result of `verify`.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Verified {
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
    /// Files that were answered 201 and have no row, or are completed and have no object.
    pub lost: u64,
    /// Requests with more than one row, and second outcomes of one attempt that were applied.
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
    /// Time that verification took.
    pub took: Duration,
}

/// Reason why something could not be read.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Waits until nothing is left to do: no unfinished file, outbox and `object_removals` empty, no lag of any group.
/// Returns the time that took, or what was left after `limit` (I2, I4, I7, I8, I10).
pub async fn drained(evidence: &Evidence, limit: Duration) -> Result<Duration, Vec<Violation>> {
    drained::drained(evidence, limit).await
}

/// Compares the journal, rows, objects and records, after `drained`. What can't be read is a violation too, `not-verified`.
pub async fn verify(evidence: &Evidence) -> Verified {
    let started = Instant::now();
    let (mut violations, mut counted) = (Violations::default(), Counted::default());
    if let Err(error) = compare(evidence, &mut violations, &mut counted).await {
        violations.add("I8", "not-verified", || error.to_string());
    }
    let count = |checks: &[&str]| checks.iter().map(|check| violations.count(check)).sum::<u64>();
    counted.lost = count(&["accepted-lost", "object-missing", "transition-lost"]);
    counted.orphans = count(&["orphan"]);
    counted.duplicate_effects =
        count(&["row-twice", "one-key-two-files", "two-outcomes", "request-twice", "event-twice"]);
    counted.took = started.elapsed();
    Verified { violations: violations.into_list(), counted }
}

async fn compare(
    evidence: &Evidence,
    violations: &mut Violations,
    counted: &mut Counted,
) -> Result<(), Failure> {
    let journal = Journal::read(&evidence.journal)?;
    let store = Store::of(evidence)?;
    let client = rows::connect(evidence).await?;
    let mut objects = Objects::list(&store, counted, violations).await?;
    let log = Log::open(evidence).await?;
    let whole_since = log.is_whole_since(evidence.log_lost).await?;
    let reader = RowReader {
        journal: &journal,
        objects: &mut objects,
        violations,
        counted,
        whole_since,
        bucket: &evidence.bucket,
    };
    let rows = reader.read(&client).await?;
    objects.check_contents(&store, counted, violations).await?;
    for left in drained::in_database(&client).await? {
        // Reported for each file already.
        if left.check != "unfinished" {
            violations.add(left.invariant, left.check, || left.detail);
        }
    }
    let mut checker = TopicChecker {
        evidence,
        log: &log,
        whole_since,
        rows: &rows,
        journal: &journal,
        violations,
        counted,
    };
    let records = checker.read_records().await?;
    let dead_letters = checker.read_dead_letters(&client, &records).await?;
    checker.check_answers(&records, &dead_letters).await
}
