//! `file.create`: requests to workers (docs/EVENTS.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::members::{attempt, file_id, not_empty};
use super::{MessageError, topics};
use crate::domain::files::{File, Format};
use crate::domain::strict_json::Members;
use crate::domain::{Attempt, FileId, Timestamp};

/// Request to make a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateFile {
    pub file_id: FileId,
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    /// Time at which the file was requested first; part of the object's key and of its content.
    pub timestamp: Timestamp,
    /// Number of this request among the requests for the file; results carry it.
    #[serde(default)]
    pub attempt: Attempt,
    #[serde(default)]
    pub format: Format,
}

/// The members that are read; others are ignored.
const MEMBERS: [&str; 6] = ["fileId", "title", "description", "timestamp", "attempt", "format"];

impl CreateFile {
    /// Makes the request for the file's current attempt.
    pub fn of(file: &File) -> Self {
        Self {
            file_id: file.id,
            title: file.title.clone(),
            description: file.description.clone(),
            timestamp: file.created_at,
            attempt: file.attempt,
            format: file.format.unwrap_or_default(),
        }
    }

    /// Reads a request. All known members are strict: they decide about the bytes, the key or the attempt.
    pub fn read(value: Option<&[u8]>) -> Result<Self, MessageError> {
        let value = not_empty(value)?;
        let refuse = |why: String| MessageError::Unreadable { what: topics::CREATE, why };
        std::str::from_utf8(value).map_err(|error| refuse(error.to_string()))?;
        let members = Members::read(value, &MEMBERS).map_err(|error| refuse(error.to_string()))?;
        let text = |name| members.text(name).map_err(|error| refuse(error.to_string()));
        let missing = |name: &str| refuse(format!("{name} is missing"));
        let file_id = file_id(&members, topics::CREATE)?;
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
        let attempt = attempt(&members, topics::CREATE)?.unwrap_or_default();
        Ok(Self { file_id, title, description, timestamp, attempt, format })
    }
}
