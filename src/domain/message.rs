//! Values of the Kafka records (docs/EVENTS.md): JSON, unknown members ignored, the source system's members enough.

use serde::{Deserialize, Serialize};

use super::json_members::{Members, WrongType, without_bom};
use super::{Attempt, File, FileId, Format, Timestamp};

pub mod topic {
    /// Topic of requests.
    pub const CREATE: &str = "file.create";
    /// Topic of results.
    pub const CREATED: &str = "file.created";
    /// Topic of events.
    pub const EVENTS: &str = "file.events";
    /// Topic of dead letters.
    pub const DEAD_LETTERS: &str = "file.create.dlq";

    /// All topics.
    pub const ALL: [&str; 4] = [CREATE, CREATED, EVENTS, DEAD_LETTERS];
}

pub mod header {
    /// UUID of the published fact; the same on every copy of it.
    pub const EVENT_ID: &str = "event-id";
    /// Header with the version of the value's schema.
    pub const SCHEMA_VERSION: &str = "schema-version";
    /// Version that is written today.
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

impl Outcome {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "processing" => Some(Self::Processing),
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
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
    /// Made by a worker that has the store's credentials; without one the object is compared with what is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// Why a record's value can't be used. Such a record goes to the dead letters.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the record has no value")]
    Empty,
    #[error("the value is not a {what} message: {why}")]
    Unreadable { what: &'static str, why: String },
    #[error("{0}")]
    Rule(String),
}

/// The members that are read; others are ignored.
const CREATE_MEMBERS: [&str; 6] = ["fileId", "title", "description", "timestamp", "attempt", "format"];
const CREATED_MEMBERS: [&str; 12] = [
    "fileId",
    "s3Location",
    "status",
    "error",
    "attempt",
    "size",
    "sha256",
    "worker",
    "partition",
    "offset",
    "durationMs",
    "proof",
];

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

    /// Every member but those that are unknown makes the file's bytes or its key, or is the fence: each decides.
    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        let value = not_empty(value)?;
        let refuse = |why: String| MessageError::Unreadable { what: topic::CREATE, why };
        std::str::from_utf8(value).map_err(|error| refuse(error.to_string()))?;
        let members = Members::read(value, &CREATE_MEMBERS).map_err(|error| refuse(error.to_string()))?;
        let text = |name| members.text(name).map_err(|error| refuse(error.to_string()));
        let missing = |name: &str| refuse(format!("{name} is missing"));
        let file_id = file_id(&members, topic::CREATE)?;
        let title = text("title")?.ok_or_else(|| missing("title"))?;
        let description = text("description")?;
        let timestamp = text("timestamp")?.ok_or_else(|| missing("timestamp"))?;
        let timestamp =
            timestamp.parse().map_err(|_| refuse(format!("timestamp {timestamp:?} is not RFC 3339")))?;
        let format = match text("format")?.filter(|name| !name.is_empty()) {
            None => Format::default(),
            Some(name) => {
                Format::from_name(&name).ok_or_else(|| refuse(format!("format {name:?} is not known")))?
            }
        };
        let attempt = attempt(&members, topic::CREATE)?.unwrap_or_default();
        Ok(Self { file_id, title, description, timestamp, attempt, format })
    }
}

impl FileResult {
    /// Strict are the members that decide: `fileId`, `status`, `attempt`, and `s3Location` of a completed one. Whatever else
    /// can't be understood counts as absent, and so does what has no meaning for the status.
    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        // A reason in another encoding must not lose a failure.
        let value = String::from_utf8_lossy(not_empty(value)?);
        let refuse = |why: String| MessageError::Unreadable { what: topic::CREATED, why };
        let members = Members::read(value.as_bytes(), &CREATED_MEMBERS);
        let members = members.map_err(|error| refuse(error.to_string()))?;
        let text = |name| members.text(name).map_err(|error| refuse(error.to_string()));
        let file_id = file_id(&members, topic::CREATED)?;
        let status = text("status")?.ok_or_else(|| refuse("status is missing".to_owned()))?;
        let status = Outcome::from_name(&status)
            .ok_or_else(|| refuse(format!("status {status:?} is not processing, completed or failed")))?;
        let attempt = attempt(&members, topic::CREATED)?;
        let done = status == Outcome::Completed;
        let s3_location =
            if done { text("s3Location")?.filter(|location| !location.is_empty()) } else { None };
        if done && s3_location.is_none() {
            return Err(MessageError::Rule("a completed result must have s3Location".to_owned()));
        }
        let count = |name| members.about(name).filter(|number| *number >= 0);
        let sha256 = members.lossy_text("sha256").map(|text| text.trim().to_ascii_lowercase());
        Ok(Self {
            file_id,
            title: None,
            s3_location,
            status,
            error: members.lossy_text("error").filter(|_| status == Outcome::Failed),
            timestamp: None,
            attempt,
            size: count("size").filter(|_| done),
            sha256: sha256.filter(|text| done && is_sha256(text)),
            worker: members.lossy_text("worker"),
            partition: count("partition").and_then(|number| i32::try_from(number).ok()),
            offset: count("offset"),
            duration_ms: count("durationMs"),
            proof: members.lossy_text("proof"),
        })
    }
}

/// Which file a record speaks of, even when the rest of it is unusable.
pub fn named_file(value: Option<&[u8]>) -> Option<(FileId, Option<Attempt>)> {
    let value = String::from_utf8_lossy(value?);
    let members = Members::read(value.as_bytes(), &["fileId", "attempt"]).ok()?;
    let file_id = file_id(&members, topic::CREATE).ok()?;
    Some((file_id, attempt(&members, topic::CREATE).ok().flatten()))
}

fn not_empty(value: Option<&[u8]>) -> Result<&[u8], MessageError> {
    value.map(without_bom).filter(|bytes| !bytes.is_empty()).ok_or(MessageError::Empty)
}

fn file_id(members: &Members<'_>, what: &'static str) -> Result<FileId, MessageError> {
    let id = members.whole("fileId").map_err(|error| error.to_string());
    let id = id.and_then(|id| id.ok_or_else(|| "fileId is missing".to_owned()));
    match id.map_err(|why| MessageError::Unreadable { what, why })? {
        id @ 1.. => Ok(FileId(id)),
        id => Err(MessageError::Rule(format!("fileId {id} is not positive"))),
    }
}

/// The first is 1: 0 is what languages without "absent" write. A fence that can't be understood must not be left out.
fn attempt(members: &Members<'_>, what: &'static str) -> Result<Option<Attempt>, MessageError> {
    let why = |why: WrongType| MessageError::Unreadable { what, why: why.to_string() };
    match members.whole("attempt").map_err(why)? {
        None | Some(0) => Ok(None),
        Some(number @ 1..) => {
            let number = i32::try_from(number);
            number.map(|number| Some(Attempt(number))).map_err(|_| {
                MessageError::Rule("attempt is more than the 2147483647 there can be".to_owned())
            })
        }
        Some(number) => Err(MessageError::Rule(format!("attempt {number} is not positive"))),
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
            br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":-1}"#,
            br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":1.5}"#,
            br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","attempt":"2"}"#,
            br#"{"fileId":1,"title":"t","timestamp":"2026-01-04T12:00:00Z","format":"exe"}"#,
            br#"{"fileId":1,"title":"t","description":5,"timestamp":"2026-01-04T12:00:00Z"}"#,
            br#"{"fileId":1,"title":"caf\xe9","timestamp":"2026-01-04T12:00:00Z"}"#,
            b"{\"fileId\":1,\"title\":\"caf\xe9\",\"timestamp\":\"2026-01-04T12:00:00Z\"}",
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
    fn what_does_not_decide_never_decides_over_a_result() {
        let base =
            FileResult::read(Some(br#"{"fileId":1,"status":"completed","s3Location":"s3://b/k"}"#)).unwrap();
        for more in [
            r#""durationMs":1e999"#,
            r#""durationMs":-5"#,
            r#""durationMs":[12]"#,
            r#""size":"much","sha256":5"#,
            r#""size":-1,"sha256":"ABC""#,
            r#""size":1e30,"size":null"#,
            r#""title":7,"timestamp":"yesterday""#,
            r#""timestamp":1767398400000"#,
            r#""worker":"","partition":"","offset":"","error":"""#,
            r#""worker":null,"partition":2147483648,"offset":-1"#,
            r#""partition":-1,"offset":9223372036854775808"#,
            r#""error":{"code":1},"unknown":{"deep":[[[[1e999]]]]}"#,
            r#""attempt":null"#,
            r#""attempt":"","x":"\ud800""#,
            r#""attempt":0"#,
        ] {
            let json = format!(r#"{{"fileId":1.0,"status":"completed","s3Location":"s3://b/k",{more}}}"#);
            assert_eq!(FileResult::read(Some(json.as_bytes())).unwrap(), base, "{more}");
        }
        let json =
            br#"{"fileId":1,"status":"completed","s3Location":"s3://b/k","durationMs":12.7,"size":"160"}"#;
        let read = FileResult::read(Some(json)).unwrap();
        assert_eq!((read.duration_ms, read.size), (Some(13), Some(160)));
        for (status, more) in [
            ("failed", r#""s3Location":"""#),
            ("failed", r#""s3Location":{},"size":-5,"sha256":[]"#),
            ("processing", r#""s3Location":"s3://another/x","error":5"#),
        ] {
            let json = format!(r#"{{"fileId":1,"status":"{status}",{more}}}"#);
            let read = FileResult::read(Some(json.as_bytes())).unwrap();
            assert_eq!((read.s3_location, read.size, read.sha256), (None, None, None), "{more}");
        }
    }

    #[test]
    fn a_reason_is_kept_whatever_it_is_written_in() {
        let error = |value: &[u8]| {
            let json = [br#"{"fileId":1,"status":"failed","error":"#, value, b"}"].concat();
            FileResult::read(Some(&json)).unwrap().error
        };
        assert_eq!(error(b"\"caf\xe9\"").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(error(br#""cut \ud83d""#).map(|text| text.starts_with("cut ")), Some(true));
        assert_eq!(error(br#"{"code":5}"#).as_deref(), Some(r#"{"code":5}"#));
        assert_eq!(error(b"\"\""), None);
    }

    #[test]
    fn what_decides_over_a_result_is_strict() {
        for json in [
            r#"{"status":"failed"}"#,
            r#"{"fileId":"1","status":"failed"}"#,
            r#"{"fileId":1.5,"status":"failed"}"#,
            r#"{"fileId":9223372036854775808,"status":"failed"}"#,
            r#"{"fileId":1}"#,
            r#"{"fileId":1,"status":"FAILED"}"#,
            r#"{"fileId":1,"status":["failed"]}"#,
            r#"{"fileId":1,"status":"failed","attempt":-1}"#,
            r#"{"fileId":1,"status":"failed","attempt":2147483648}"#,
            r#"{"fileId":1,"status":"failed","attempt":"first"}"#,
            r#"{"fileId":1,"status":"completed","s3Location":""}"#,
            r#"{"fileId":1,"status":"completed","s3Location":5}"#,
            r#"[1,"t","s3://b/k","completed"]"#,
        ] {
            assert!(FileResult::read(Some(json.as_bytes())).is_err(), "{json}");
        }
    }

    #[test]
    fn only_an_object_names_a_file() {
        let named = |json: &[u8]| named_file(Some(json)).map(|(id, attempt)| (id.0, attempt.map(|a| a.0)));
        assert_eq!(named(br#"{"fileId":62}"#), Some((62, None)));
        assert_eq!(
            named(b"\xef\xbb\xbf{\"fileId\":62,\"attempt\":2,\"title\":\"\xff\"}"),
            Some((62, Some(2)))
        );
        assert_eq!(named(br#"{"fileId":62,"attempt":[1]}"#), Some((62, None)));
        for json in
            [&b"[62]"[..], b"62", b"[[62]]", b"{\"fileId\":[62]}", b"{\"fileId\":\"62\"}", b"{\"fileId\":62"]
        {
            assert_eq!(named(json), None, "{:?}", String::from_utf8_lossy(json));
        }
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
            proof: None,
        };
        assert_eq!(
            serde_json::to_string(&result).unwrap(),
            r#"{"fileId":42,"title":"t","s3Location":null,"status":"failed","error":"why","timestamp":"2026-01-04T12:00:00.000Z","attempt":3}"#
        );
    }
}
