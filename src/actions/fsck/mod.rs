//! Compare what PostgreSQL says with what S3 holds, and find what is stuck. Changes nothing.
//!
//! The objects are listed, a thousand at a time, and the rows of their ids looked up, a query for each page. Then the
//! completed rows are gone through; those whose object the listing had are known by a bit, the others are asked for
//! one by one. A million files take a thousand listings, two thousand queries and a request for each object that is
//! missing or was stored meanwhile; the other way round, a request for each row, would take a million.
//!
//! It runs beside everything else: whatever looks wrong is looked at again, in an order in which no move of a file
//! and no removal can make it look so.

mod classify;
mod compare_objects;
mod compare_rows;
mod reads;
mod recheck;
pub mod repair;
mod report;

use classify::Sampler;
use reads::Reads;

use crate::db::Db;
use crate::domain::{FileId, Result, Timestamp};
use crate::storage::Storage;

pub use report::{Count, Finding, Kind, MAX_FINDINGS, Report};

/// Number of files in a sample.
pub const SAMPLE: usize = Sampler::SIZE;

/// Whose bytes are read and compared with the row's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Sizes are compared all the same.
    None,
    Sample,
    All,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Time before which things must have been created to be compared: younger objects, uploads, removals and records may be in
    /// flight. By the database's clock.
    pub before: Timestamp,
    pub checksums: Checksums,
    /// Chooses the sample.
    pub seed: u64,
}

/// Stage of a run, for progress display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Objects,
    Contents,
    Rows,
    Repairs,
}

/// Told how many of how many are done; the latter is an estimate.
pub type Watch<'a> = &'a (dyn Fn(Stage, u64, u64) + Sync);

/// Requests under way at once.
const MAX_CONCURRENT_REQUESTS: usize = 8;
/// Rows in one query.
const BATCH: i64 = 1000;

struct Verifier<'a> {
    reads: Reads<'a>,
    options: Options,
    watch: Watch<'a>,
    bucket: String,
    /// The highest id that this database has given out.
    last: FileId,
    /// Completed files at the start.
    expected: u64,
    report: Report,
}

/// `Unavailable` when PostgreSQL or S3 is away, also halfway.
pub async fn verify(db: &Db, storage: &Storage, options: Options, watch: Watch<'_>) -> Result<Report> {
    db.ping().await?;
    let completed = db.files().stats().await?.completed;
    let mut verifier = Verifier {
        reads: Reads { db, storage },
        options,
        watch,
        bucket: storage.bucket_name(),
        last: db.files().last_id().await?,
        expected: u64::try_from(completed).unwrap_or_default(),
        report: Report::new(storage.bucket_name(), options.seed),
    };
    let seen = verifier.objects().await?;
    verifier.completed_rows(&seen).await?;
    verifier.uploads().await?;
    verifier.stuck_rows().await?;
    Ok(verifier.report)
}
