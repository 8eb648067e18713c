//! Lifecycle facts (docs/EVENTS.md): what happened to a file, told on `file.events` to whoever listens.

use serde::Serialize;

use super::status::Move;
use super::{Attempt, EventId, File, FileId, Format, Status, Timestamp};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FactType {
    #[serde(rename = "file.requested")]
    Requested,
    #[serde(rename = "file.processing_started")]
    ProcessingStarted,
    #[serde(rename = "file.processing_completed")]
    ProcessingCompleted,
    #[serde(rename = "file.processing_failed")]
    ProcessingFailed,
    #[serde(rename = "file.requested_again")]
    RequestedAgain,
    #[serde(rename = "file.cancelled")]
    Cancelled,
    #[serde(rename = "file.deleted")]
    Deleted,
}

impl FactType {
    /// All types.
    pub const ALL: [Self; 7] = [
        Self::Requested,
        Self::ProcessingStarted,
        Self::ProcessingCompleted,
        Self::ProcessingFailed,
        Self::RequestedAgain,
        Self::Cancelled,
        Self::Deleted,
    ];

    /// What a move that was applied tells.
    pub const fn of(by: Move) -> Self {
        match by {
            Move::Start => Self::ProcessingStarted,
            Move::Complete => Self::ProcessingCompleted,
            Move::Fail | Move::Expire => Self::ProcessingFailed,
            Move::Rescue | Move::Retry | Move::Remake => Self::RequestedAgain,
            Move::Cancel => Self::Cancelled,
            Move::Delete => Self::Deleted,
        }
    }
}

/// The one envelope of all facts.
#[derive(Debug, Serialize)]
pub struct Fact<'a> {
    /// The same on every copy; also the record's `event-id`.
    pub id: EventId,
    pub r#type: FactType,
    /// Version of the envelope. Members may be added to a version.
    pub version: u8,
    pub time: Timestamp,
    /// 1, 2, 3, … of this file: tells order and gaps.
    pub sequence: i64,
    pub file: Subject<'a>,
}

/// The file's record as it was afterwards, without its description.
#[derive(Debug, Serialize)]
pub struct Subject<'a> {
    id: FileId,
    title: &'a str,
    status: Status,
    s3_location: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    format: Format,
    content_type: &'a str,
    size: Option<i64>,
    sha256: Option<&'a str>,
    attempt: Attempt,
    error: Option<&'a str>,
}

impl<'a> Fact<'a> {
    /// Makes the fact that this happened to the file.
    pub fn new(id: EventId, r#type: FactType, file: &'a File) -> Self {
        Self {
            id,
            r#type,
            version: 1,
            time: file.updated_at,
            sequence: file.sequence,
            file: Subject {
                id: file.id,
                title: &file.title,
                status: file.status,
                s3_location: file.s3_location.as_deref(),
                created_at: file.created_at,
                updated_at: file.updated_at,
                format: file.format,
                content_type: &file.content_type,
                size: file.size,
                sha256: file.sha256.as_deref(),
                attempt: file.attempt,
                error: file.error.as_deref(),
            },
        }
    }
}
