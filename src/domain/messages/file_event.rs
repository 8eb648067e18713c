//! `file.events`: what happened to a file, as CloudEvents 1.0 in structured JSON (docs/EVENTS.md, ADR 6).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::domain::files::attributes::Metadata;
use crate::domain::files::status::Transition;
use crate::domain::files::{FileOrigin, FileType, ShownName};
use crate::domain::{Attempt, EventId, File, FileId, Status, Timestamp};

/// Type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
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
    #[serde(rename = "file.uploaded")]
    Uploaded,
    #[serde(rename = "file.updated")]
    Updated,
    #[serde(rename = "file.viewed")]
    Viewed,
    #[serde(rename = "file.downloaded")]
    Downloaded,
    #[serde(rename = "file.cancelled")]
    Cancelled,
    #[serde(rename = "file.deleted")]
    Deleted,
    #[serde(rename = "file.restored")]
    Restored,
    #[serde(rename = "file.expired")]
    Expired,
    #[serde(rename = "file.step_completed")]
    StepCompleted,
    #[serde(rename = "file.step_failed")]
    StepFailed,
    #[serde(rename = "file.quarantined")]
    Quarantined,
    #[serde(rename = "file.released")]
    Released,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 17] = [
        Self::Requested,
        Self::ProcessingStarted,
        Self::ProcessingCompleted,
        Self::ProcessingFailed,
        Self::RequestedAgain,
        Self::Uploaded,
        Self::Updated,
        Self::Viewed,
        Self::Downloaded,
        Self::Cancelled,
        Self::Deleted,
        Self::Restored,
        Self::Expired,
        Self::StepCompleted,
        Self::StepFailed,
        Self::Quarantined,
        Self::Released,
    ];

    /// Returns the types of the events that announce a transition, in their order.
    pub const fn of(by: Transition) -> &'static [Self] {
        match by {
            Transition::Start => &[Self::ProcessingStarted],
            Transition::Complete => &[Self::ProcessingCompleted],
            Transition::Store => &[Self::ProcessingCompleted, Self::Uploaded],
            Transition::Fail | Transition::Abort | Transition::Expire => &[Self::ProcessingFailed],
            Transition::Republish | Transition::Retry | Transition::Remake => &[Self::RequestedAgain],
            Transition::Cancel => &[Self::Cancelled],
            Transition::Delete => &[Self::Deleted],
        }
    }
}

/// Value of `source`. The same in every process and whatever the service's address is, so that `source` and `id` together
/// identify an event for good.
pub const SOURCE: &str = "filesys";

/// Event of a file: the attributes of CloudEvents 1.0, and the file after the change as `data`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileEvent<'a> {
    #[schemars(extend("const" = "1.0"))]
    specversion: &'static str,
    /// The same on every copy; also the record's header `event-id`.
    pub id: EventId,
    #[schemars(extend("const" = SOURCE))]
    source: &'static str,
    pub r#type: EventType,
    /// Id of the file.
    subject: IdText,
    /// Time of the change.
    pub time: Timestamp,
    /// Address of the schema of `data`.
    dataschema: SchemaUri<'a>,
    pub sequence: Sequence,
    pub data: FileData<'a>,
}

/// Number of an event among those of its file: 1, 2, 3, … without gaps. In JSON it is a string of at least ten digits: the
/// attribute `sequence` of CloudEvents is a string whose lexicographical order is the order of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence(pub i64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// File as it was after a change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileData<'a> {
    file_id: IdText,
    /// Name of a download.
    file_name: ShownName<'a>,
    file_type: FileType,
    status: Status,
    /// Id of the person who uploaded it, if it is known.
    uploaded_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uploaded_by_name: Option<&'a str>,
    /// Size of the content in bytes, once completed.
    #[schemars(range(min = 0))]
    size: Option<i64>,
    /// Media type of the content.
    mimetype: &'a str,
    /// Address of the content; a path below the service's address if that is not known.
    url: ContentUrl<'a>,
    /// Key of the object in the bucket, while there is one.
    storage_key: Option<&'a str>,
    title: &'a str,
    /// `s3://bucket/key`, while there is an object.
    #[schemars(regex(pattern = "^s3://"))]
    s3_location: Option<&'a str>,
    /// Lower-case hexadecimal SHA-256 of the content, once completed.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    sha256: Option<&'a str>,
    /// Number of the request for the file.
    attempt: Attempt,
    /// Reason why it won't be made.
    error: Option<&'a str>,
    origin: FileOrigin,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_post_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_category_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<EventMetadata<'a>>,
    /// Views since the last event of this type; with `file.viewed` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    views: Option<i64>,
    /// Downloads since the last event of this type; with `file.downloaded` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    downloads: Option<i64>,
}

impl<'a> FileEvent<'a> {
    /// Makes the event that this happened to the file. `base_url` is the service's address without a final slash, empty
    /// if it is not known.
    pub fn new(id: EventId, r#type: EventType, file: &'a File, base_url: &'a str) -> Self {
        let s3_location = file.s3_location.as_deref();
        let about = &file.attributes;
        Self {
            specversion: "1.0",
            id,
            source: SOURCE,
            r#type,
            subject: IdText(file.id),
            time: file.updated_at,
            dataschema: SchemaUri { base_url },
            sequence: Sequence(file.sequence),
            data: FileData {
                file_id: IdText(file.id),
                file_name: file.shown_name(),
                file_type: file.file_type(),
                status: file.status,
                uploaded_by: about.uploaded_by.as_deref(),
                uploaded_by_name: about.uploaded_by_name.as_deref(),
                size: file.size,
                mimetype: &file.content_type,
                url: ContentUrl { base_url, id: file.id },
                storage_key: s3_location.and_then(key),
                title: &file.title,
                s3_location,
                sha256: file.sha256.as_deref(),
                attempt: file.attempt,
                error: file.error.as_deref(),
                origin: about.origin,
                related_post_id: about.related_post_id.as_deref(),
                related_category_id: about.related_category_id.as_deref(),
                metadata: EventMetadata::of(file),
                views: None,
                downloads: None,
            },
        }
    }

    /// Adds how often it happened since the last event of the same type. Types that don't count stay as they are.
    #[must_use]
    pub fn times(mut self, count: i64) -> Self {
        match self.r#type {
            EventType::Viewed => self.data.views = Some(count),
            EventType::Downloaded => self.data.downloads = Some(count),
            EventType::Requested
            | EventType::ProcessingStarted
            | EventType::ProcessingCompleted
            | EventType::ProcessingFailed
            | EventType::RequestedAgain
            | EventType::Uploaded
            | EventType::Updated
            | EventType::Cancelled
            | EventType::Deleted
            | EventType::Restored
            | EventType::Expired
            | EventType::StepCompleted
            | EventType::StepFailed
            | EventType::Quarantined
            | EventType::Released => {}
        }
        self
    }
}

/// Properties of the content, and the tags.
#[derive(Debug, Serialize, JsonSchema)]
struct EventMetadata<'a> {
    #[serde(flatten)]
    properties: &'a Metadata,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
}

impl<'a> EventMetadata<'a> {
    fn of(file: &'a File) -> Option<Self> {
        let about = &file.attributes;
        let is_empty = about.metadata.is_empty() && about.tags.is_empty();
        (!is_empty).then_some(Self { properties: &about.metadata, tags: &about.tags })
    }
}

/// Returns the key of an `s3://bucket/key`.
pub(super) fn key(location: &str) -> Option<&str> {
    Some(location.strip_prefix("s3://")?.split_once('/')?.1)
}

/// Address of the schema of `data`: below the service's own address, or a name where that is not known. `dataschema` must be
/// an absolute URI.
#[derive(Debug, Clone, Copy)]
struct SchemaUri<'a> {
    base_url: &'a str,
}

impl fmt::Display for SchemaUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base_url {
            "" => f.write_str("urn:filesys:schemas:file.events.data"),
            base_url => write!(f, "{base_url}/schemas/file.events.data"),
        }
    }
}

/// Address of the content: absolute, or a path where the service's address is not known.
#[derive(Debug, Clone, Copy)]
struct ContentUrl<'a> {
    base_url: &'a str,
    id: FileId,
}

impl fmt::Display for ContentUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/files/{}/content", self.base_url, self.id)
    }
}

/// File id as a string, which is how the second source system has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdText(pub(super) FileId);

impl fmt::Display for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Implements JSON and its schema for types that are strings there.
macro_rules! written_as_text {
    ($($type:ty: $schema:tt),+ $(,)?) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

written_as_text! {
    Sequence: {"type": "string", "pattern": "^[0-9]{10,}$"},
    SchemaUri<'_>: {"type": "string", "format": "uri"},
    ContentUrl<'_>: {"type": "string", "format": "uri-reference"},
    IdText: {"type": "string", "pattern": "^[1-9][0-9]*$"},
}
