//! `file.events`: what happened to a file (docs/EVENTS.md).

use serde::Serialize;

use crate::domain::files::status::Transition;
use crate::domain::{Attempt, EventId, File, FileId, Format, Status, Timestamp};

/// Type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
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

impl EventType {
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

    /// Returns the type of the event that announces a transition.
    pub const fn of(by: Transition) -> Self {
        match by {
            Transition::Start => Self::ProcessingStarted,
            Transition::Complete => Self::ProcessingCompleted,
            Transition::Fail | Transition::Expire => Self::ProcessingFailed,
            Transition::Republish | Transition::Retry | Transition::Remake => Self::RequestedAgain,
            Transition::Cancel => Self::Cancelled,
            Transition::Delete => Self::Deleted,
        }
    }
}

/// Envelope of all events.
#[derive(Debug, Serialize)]
pub struct FileEvent<'a> {
    /// The same on every copy; also the record's `event-id`.
    pub id: EventId,
    pub r#type: EventType,
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

impl<'a> FileEvent<'a> {
    /// Makes the event that this happened to the file.
    pub fn new(id: EventId, r#type: EventType, file: &'a File) -> Self {
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
