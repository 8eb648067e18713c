//! Records on the topic of the third source system, in its terms (docs/EVENTS.md): files that are stored, deleted, downloaded.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::file_event::{EventType, IdText, key};
use crate::domain::files::ShownName;
use crate::domain::{File, Timestamp};

/// Type of such a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CompatType {
    Uploaded,
    Deleted,
    Downloaded,
}

impl CompatType {
    /// Returns the type of the record that goes with an event, if there is one. The content of every file counts as
    /// uploaded once it is there, wherever it came from.
    pub const fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::ProcessingCompleted | EventType::Restored => Some(Self::Uploaded),
            EventType::Deleted => Some(Self::Deleted),
            EventType::Downloaded => Some(Self::Downloaded),
            // An upload has told by `processing_completed`, which comes before.
            EventType::Uploaded
            | EventType::Requested
            | EventType::ProcessingStarted
            | EventType::ProcessingFailed
            | EventType::RequestedAgain
            | EventType::Updated
            | EventType::Viewed
            | EventType::Cancelled
            | EventType::Expired
            | EventType::StepCompleted
            | EventType::StepFailed
            | EventType::Quarantined
            | EventType::Released => None,
        }
    }
}

/// Notice of the third source system that a file was stored, deleted or downloaded.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompatEvent<'a> {
    event_type: CompatType,
    file_metadata: CompatMetadata<'a>,
    /// Time of the change, in milliseconds since 1970.
    timestamp: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CompatMetadata<'a> {
    /// Id of the file.
    id: IdText,
    /// Name of a download.
    filename: ShownName<'a>,
    /// Key of the object in the bucket.
    s3_key: &'a str,
    /// URL of the object; reading it needs credentials unless the bucket is public.
    s3_url: ObjectUrl<'a>,
    /// Size of the content in bytes, if it is known.
    #[schemars(range(min = 0))]
    file_size: Option<i64>,
    /// Media type of the content.
    content_type: &'a str,
    /// Id of the person who uploaded it, if it is known.
    uploaded_by: Option<&'a str>,
    /// Time at which the file was created, in milliseconds since 1970.
    uploaded_at: i64,
}

impl<'a> CompatEvent<'a> {
    /// Makes the record that this happened to a file at `at`; `None` for a file without an object, of which the third
    /// source system knows nothing. The URL of the object begins with `bucket_url`.
    pub fn new(event_type: CompatType, file: &'a File, at: Timestamp, bucket_url: &'a str) -> Option<Self> {
        let s3_key = key(file.s3_location.as_deref()?)?;
        Some(Self {
            event_type,
            file_metadata: CompatMetadata {
                id: IdText(file.id),
                filename: file.shown_name(),
                s3_key,
                s3_url: ObjectUrl { bucket_url, key: s3_key },
                file_size: file.size,
                content_type: &file.content_type,
                uploaded_by: file.attributes.uploaded_by.as_deref(),
                uploaded_at: file.created_at.epoch_millis(),
            },
            timestamp: at.epoch_millis(),
        })
    }
}

/// URL of an object. Keys have no character that must be escaped.
#[derive(Debug, Clone, Copy)]
struct ObjectUrl<'a> {
    bucket_url: &'a str,
    key: &'a str,
}

impl fmt::Display for ObjectUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket_url, self.key)
    }
}

impl Serialize for ObjectUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ObjectUrl<'_> {
    fn schema_name() -> Cow<'static, str> {
        "ObjectUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri" })
    }
}
