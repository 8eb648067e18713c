//! Contents of the topics, and the checker that compares them with rows and the journal.

use std::collections::HashMap;

use super::Counted;
use super::journal::Journal;
use super::log::{Log, Place};
use super::rows::Rows;
use super::violations::Violations;
use crate::evidence::Evidence;

/// Topic and place of a record.
pub type Origin = (&'static str, Place);
/// Request for a file: its id and the attempt.
pub type Attempt = (i64, i32);
/// Length and hash of a value.
pub type Fingerprint = (usize, u64);

/// Number of results of one attempt on `file.created`.
#[derive(Debug, Default, Clone, Copy)]
pub struct ResultCounts {
    pub started: u32,
    pub completed: u32,
    pub failed: u32,
}

/// Records of all topics but the dead letters.
#[derive(Default)]
pub struct Records {
    /// Distinct event ids of the requests, and the number of records.
    pub requests: HashMap<Attempt, (Vec<String>, u64)>,
    pub results: HashMap<Attempt, ResultCounts>,
    /// Requests that can be parsed, and the place of each.
    pub readable: Vec<(Attempt, Place)>,
    /// Records that must become dead letters, with the reason.
    pub unusable: Vec<(Origin, String)>,
    /// Fingerprints by place, of topics whose records can become dead letters.
    pub fingerprints: HashMap<Origin, Fingerprint>,
}

/// Compares records with rows and the journal.
pub struct TopicChecker<'a> {
    pub evidence: &'a Evidence,
    pub log: &'a Log,
    /// Time like `Log::is_whole_since`.
    pub whole_since: i64,
    pub rows: &'a Rows,
    pub journal: &'a Journal,
    pub violations: &'a mut Violations,
    pub counted: &'a mut Counted,
}
