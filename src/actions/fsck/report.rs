//! Report of fsck: kinds, findings, counts. Bounded, however much is wrong.

use serde::Serialize;

use crate::domain::FileId;
use crate::storage::UnfinishedUpload;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A completed file whose object isn't there.
    MissingObject,
    /// A completed file whose object has another size or SHA-256 than the row says.
    AlteredObject,
    /// An object of ours that no row names, nor will.
    OrphanObject,
    /// An object whose key is none of ours.
    UnknownObject,
    /// An upload in parts that was abandoned.
    AbandonedUpload,
    /// An object that should have been removed.
    WaitingRemoval,
    /// A file that is unfinished past its deadline.
    OverdueFile,
    /// A record that Kafka will never take.
    ParkedRecord,
    /// A record that isn't in Kafka yet.
    WaitingRecord,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::MissingObject,
        Self::AlteredObject,
        Self::OrphanObject,
        Self::UnknownObject,
        Self::AbandonedUpload,
        Self::WaitingRemoval,
        Self::OverdueFile,
        Self::ParkedRecord,
        Self::WaitingRecord,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingObject => "missing_object",
            Self::AlteredObject => "altered_object",
            Self::OrphanObject => "orphan_object",
            Self::UnknownObject => "unknown_object",
            Self::AbandonedUpload => "abandoned_upload",
            Self::WaitingRemoval => "waiting_removal",
            Self::OverdueFile => "overdue_file",
            Self::ParkedRecord => "parked_record",
            Self::WaitingRecord => "waiting_record",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub file_id: Option<FileId>,
    pub key: Option<String>,
    /// Description of the problem.
    pub what: String,
    pub repaired: bool,
    /// Repair that was made, or the reason why none was; `None` if none was needed.
    pub done: Option<String>,
    #[serde(skip)]
    pub(super) subject: Subject,
}

/// Details that a repair needs besides file and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Object,
    Upload(UnfinishedUpload),
    /// Id in the table of the finding's kind.
    Row(i64),
}

impl Finding {
    pub(super) fn new(kind: Kind, file_id: Option<FileId>, what: impl Into<String>) -> Self {
        let subject = Subject::Object;
        Self { kind, file_id, key: None, what: what.into(), repaired: false, done: None, subject }
    }

    pub(super) fn of_object(kind: Kind, id: FileId, key: &str, what: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), ..Self::new(kind, Some(id), what) }
    }

    pub(super) fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    pub kind: Kind,
    pub found: u64,
    pub repaired: u64,
}

/// The listed findings, and counts of all.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub bucket: String,
    /// Objects below `files/` and `uploads/`.
    pub objects: u64,
    /// Completed files.
    pub files: u64,
    /// Objects whose bytes were read.
    pub read: u64,
    /// Repeats the choice of a sample.
    pub seed: u64,
    /// Parts of the store that could not be compared.
    pub notes: Vec<String>,
    /// Counts, one for each kind, in order.
    pub counts: Vec<Count>,
    pub findings: Vec<Finding>,
    /// Findings that are counted and not listed.
    pub unlisted: u64,
    /// Objects that a row names.
    #[serde(skip)]
    pub(super) named: u64,
}

/// More findings than this are counted only.
pub const MAX_FINDINGS: usize = 10_000;

impl Report {
    pub(super) fn new(bucket: String, seed: u64) -> Self {
        Self {
            bucket,
            objects: 0,
            files: 0,
            read: 0,
            seed,
            notes: Vec::new(),
            counts: Kind::ALL.map(|kind| Count { kind, found: 0, repaired: 0 }).into(),
            findings: Vec::new(),
            unlisted: 0,
            named: 0,
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.count(finding.kind).found += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn count(&mut self, kind: Kind) -> &mut Count {
        // In the order of `Kind::ALL`, which is that of their declaration.
        &mut self.counts[kind as usize]
    }

    /// Findings that are not repaired.
    pub fn left(&self) -> u64 {
        self.counts.iter().map(|count| count.found - count.repaired).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_own_name() {
        let mut report = Report::new("b".to_owned(), 0);
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            for _ in 0..=place {
                report.add(Finding::new(kind, None, "wrong"));
            }
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        let counts: Vec<(Kind, u64)> = report.counts.iter().map(|count| (count.kind, count.found)).collect();
        assert_eq!(counts, Kind::ALL.into_iter().zip(1..).collect::<Vec<_>>());
        assert_eq!(report.left(), 45);
    }

    #[test]
    fn however_much_is_wrong_the_list_stays_short_and_the_count_right() {
        let mut report = Report::new("b".to_owned(), 0);
        for _ in 0..MAX_FINDINGS + 3 {
            report.add(Finding::new(Kind::UnknownObject, None, "wrong"));
        }
        assert_eq!((report.findings.len(), report.unlisted), (MAX_FINDINGS, 3));
        assert_eq!(report.left(), MAX_FINDINGS as u64 + 3);
    }
}
