//! Values of the Kafka records (docs/EVENTS.md): JSON, unknown members ignored, the source system's members enough.

use serde::{Deserialize, Serialize};

use super::{Attempt, File, FileId, Format, Object, Timestamp};

pub mod topic {
    pub const CREATE: &str = "file.create";
    pub const CREATED: &str = "file.created";
    pub const EVENTS: &str = "file.events";
    pub const DEAD_LETTERS: &str = "file.create.dlq";

    pub const ALL: [&str; 4] = [CREATE, CREATED, EVENTS, DEAD_LETTERS];
}

pub mod header {
    /// UUID of the published fact; the same on every copy of it.
    pub const EVENT_ID: &str = "event-id";
    pub const SCHEMA_VERSION: &str = "schema-version";
    pub const SCHEMA_VERSION_1: &str = "1";
}

/// `file.create`: please make this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateFile {
    pub file_id: FileId,
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    /// The file's `created_at`.
    pub timestamp: Timestamp,
    #[serde(default)]
    pub attempt: Attempt,
    #[serde(default)]
    pub format: Format,
}

/// The three things a worker says about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Processing,
    Completed,
    Failed,
}

/// `file.created`: how far the attempt got. Without `attempt` it speaks of the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileResult {
    pub file_id: FileId,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub s3_location: Option<String>,
    pub status: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    #[serde(default)]
    pub attempt: Option<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

/// Why a record's value can't be used. Such a record goes to the dead letters.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the record has no value")]
    Empty,
    #[error("the value is not a {what} message: {source}")]
    Unreadable { what: &'static str, source: serde_json::Error },
    #[error("{0}")]
    Rule(String),
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, value: Option<&'a [u8]>) -> Result<T, MessageError> {
    let value = value.filter(|bytes| !bytes.is_empty()).ok_or(MessageError::Empty)?;
    let read = serde_json::from_slice(value).map(|Object(message)| message);
    read.map_err(|source| MessageError::Unreadable { what, source })
}

fn positive(id: FileId) -> Result<(), MessageError> {
    if id.0 > 0 { Ok(()) } else { Err(MessageError::Rule(format!("fileId {id} is not positive"))) }
}

impl CreateFile {
    /// Asks for the file's current attempt.
    pub fn of(file: &File) -> Self {
        Self {
            file_id: file.id,
            title: file.title.clone(),
            description: file.description.clone(),
            timestamp: file.created_at,
            attempt: file.attempt,
            format: file.format,
        }
    }

    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        let message: Self = read(topic::CREATE, value)?;
        positive(message.file_id)?;
        if message.attempt < Attempt::FIRST {
            return Err(MessageError::Rule(format!("attempt {} is not positive", message.attempt)));
        }
        Ok(message)
    }
}

impl FileResult {
    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        let message: Self = read(topic::CREATED, value)?;
        positive(message.file_id)?;
        if message.status == Outcome::Completed && message.s3_location.is_none() {
            return Err(MessageError::Rule("a completed result must have s3Location".to_owned()));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_systems_members_are_enough() {
        let json =
            br#"{"fileId":42,"title":"t","description":"d","timestamp":"2026-01-04T12:00:00.000Z","x":1}"#;
        let request = CreateFile::read(Some(json)).unwrap();
        assert_eq!((request.attempt, request.format), (Attempt::FIRST, Format::Txt));

        let json = br#"{"fileId":42,"status":"completed","s3Location":"s3://b/k"}"#;
        assert_eq!(FileResult::read(Some(json)).unwrap().attempt, None);
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_refused_with_its_cause() {
        for value in [
            &b""[..],
            b"[]",
            b"{",
            b"null",
            br#"[1,"t",null,"2026-01-04T12:00:00Z"]"#,
            &b"[".repeat(1 << 20),
            b"\xff\xfe",
            br#"{"fileId":-1,"title":"t","timestamp":"2026-01-04T12:00:00Z"}"#,
            br#"{"fileId":"1","title":"t","timestamp":"2026-01-04T12:00:00Z"}"#,
            br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":0}"#,
        ] {
            assert!(
                CreateFile::read(Some(value)).is_err(),
                "{:?}",
                String::from_utf8_lossy(&value[..value.len().min(60)])
            );
        }
        assert!(matches!(CreateFile::read(None), Err(MessageError::Empty)));
        assert!(FileResult::read(Some(br#"{"fileId":1,"status":"completed"}"#)).is_err());
    }

    #[test]
    fn a_result_is_written_as_the_contract_shows_it() {
        let result = FileResult {
            file_id: FileId(42),
            title: Some("t".into()),
            s3_location: None,
            status: Outcome::Failed,
            error: Some("why".into()),
            timestamp: serde_json::from_str("\"2026-01-04T12:00:00Z\"").unwrap(),
            attempt: Some(Attempt(3)),
            size: None,
            sha256: None,
            worker: None,
            partition: None,
            offset: None,
            duration_ms: None,
        };
        assert_eq!(
            serde_json::to_string(&result).unwrap(),
            r#"{"fileId":42,"title":"t","s3Location":null,"status":"failed","error":"why","timestamp":"2026-01-04T12:00:00.000Z","attempt":3}"#
        );
    }
}
