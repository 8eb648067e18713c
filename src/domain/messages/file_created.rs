//! `file.created`: results of workers (docs/EVENTS.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::members::{attempt, file_id, not_empty};
use super::{MessageError, topics};
use crate::domain::strict_json::Members;
use crate::domain::{Attempt, FileId, Timestamp};

/// Outcome that a worker reports of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Report of an attempt. Without `attempt` it is about the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend(
    "if" = {"properties": {"status": {"const": "completed"}}},
    "then" = {"properties": {"s3Location": {"type": "string"}}, "required": ["s3Location"]},
))]
pub struct FileResult {
    pub file_id: FileId,
    #[serde(default)]
    pub title: Option<String>,
    /// `s3://bucket/key` of the object; required when completed.
    #[serde(default)]
    pub s3_location: Option<String>,
    pub status: Outcome,
    /// Reason of a failure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Time at which the worker made the result.
    #[serde(default)]
    pub timestamp: Option<Timestamp>,
    /// Attempt of the request.
    #[serde(default)]
    pub attempt: Option<Attempt>,
    /// Size of the object in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub size: Option<i64>,
    /// Lower-case hexadecimal SHA-256 of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Name that the worker gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Position of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Time that the attempt took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Signature by a worker that has the store's credentials. Without it the object is compared with the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// The members that are read; others are ignored.
const MEMBERS: [&str; 12] = [
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

impl FileResult {
    /// Reads a result. The members that decide are strict: `fileId`, `status`, `attempt`, and `s3Location` of a completed
    /// one. Other members that can't be read, or have no meaning for the status, count as absent.
    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        // A reason in another encoding must not lose a failure.
        let value = String::from_utf8_lossy(not_empty(value)?);
        let refuse = |why: String| MessageError::Unreadable { what: topics::CREATED, why };
        let members = Members::read(value.as_bytes(), &MEMBERS);
        let members = members.map_err(|error| refuse(error.to_string()))?;
        let text = |name| members.text(name).map_err(|error| refuse(error.to_string()));
        let file_id = file_id(&members, topics::CREATED)?;
        let status = text("status")?.ok_or_else(|| refuse("status is missing".to_owned()))?;
        let status = Outcome::from_name(&status)
            .ok_or_else(|| refuse(format!("status {status:?} is not processing, completed or failed")))?;
        let attempt = attempt(&members, topics::CREATED)?;
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

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
