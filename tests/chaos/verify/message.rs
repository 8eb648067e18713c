//! Values of records as docs/EVENTS.md defines them, parsed independently of the product.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::DateTime;
use rskafka::record::Record;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A request on `file.create` that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub file_id: i64,
    pub attempt: i32,
    pub title: String,
    pub description: Option<String>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Processing,
    Completed,
    Failed,
}

/// A result on `file.created` that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileResult {
    pub file_id: i64,
    pub attempt: Option<i32>,
    pub outcome: Outcome,
    pub location: Option<String>,
}

/// An event on `file.events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEvent {
    pub id: String,
    pub kind: String,
    pub sequence: i64,
    pub file_id: i64,
    pub status: String,
    pub attempt: i32,
}

pub fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    std::str::from_utf8(record.headers.get(name)?).ok()
}

/// Fingerprint of a value: its length and a hash.
pub fn fingerprint(value: Option<&[u8]>) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    (value.map_or(0, <[u8]>::len), hasher.finish())
}

/// Parses a request; `Err` if it has to become a dead letter.
pub fn request(value: Option<&[u8]>) -> Result<Request, String> {
    let object = object(value)?;
    let attempt = object.get("attempt").map_or(Ok(1), |attempt| positive(attempt, "attempt"))?;
    if object.get("format").is_some_and(|format| format != "txt") {
        return Err("format".to_owned());
    }
    Ok(Request {
        file_id: file_id(&object)?,
        attempt: i32::try_from(attempt).map_err(|_| "attempt")?,
        title: object.get("title").and_then(Value::as_str).ok_or("title")?.to_owned(),
        description: text_or_null(&object, "description")?,
        timestamp: time(object.get("timestamp")).ok_or("timestamp")?,
    })
}

/// Parses a result; `Err` if it has to become a dead letter.
pub fn result(value: Option<&[u8]>) -> Result<FileResult, String> {
    let object = object(value)?;
    let outcome = match object.get("status").and_then(Value::as_str) {
        Some("processing") => Outcome::Processing,
        Some("completed") => Outcome::Completed,
        Some("failed") => Outcome::Failed,
        Some(_) | None => return Err("status".to_owned()),
    };
    let attempt = match object.get("attempt") {
        None | Some(Value::Null) => None,
        Some(attempt) => Some(attempt.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or("attempt")?),
    };
    let location = text_or_null(&object, "s3Location")?;
    if outcome == Outcome::Completed && location.is_none() {
        return Err("s3Location".to_owned());
    }
    if object.get("size").is_some_and(|size| !size.is_null() && size.as_u64().is_none()) {
        return Err("size".to_owned());
    }
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    if text_or_null(&object, "sha256")?.is_some_and(|text| !is_hex(&text)) {
        return Err("sha256".to_owned());
    }
    Ok(FileResult { file_id: file_id(&object)?, attempt, outcome, location })
}

/// Parses an event, which is a CloudEvent in structured JSON.
pub fn file_event(value: Option<&[u8]>) -> Result<FileEvent, String> {
    let object = object(value)?;
    let data = object.get("data").and_then(Value::as_object).ok_or("data")?;
    let text = |of: &Map<String, Value>, name: &'static str| {
        of.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(name)
    };
    if text(&object, "specversion")? != "1.0" || text(&object, "source")? != "filesys" {
        return Err("specversion or source".to_owned());
    }
    let sequence = text(&object, "sequence")?;
    let file_id = text(&object, "subject")?;
    if text(data, "fileId")? != file_id {
        return Err("fileId".to_owned());
    }
    let attempt = data.get("attempt").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    Ok(FileEvent {
        id: text(&object, "id")?,
        kind: text(&object, "type")?,
        sequence: sequence.parse().ok().filter(|_| sequence.len() == 10).ok_or("sequence")?,
        file_id: file_id.parse().map_err(|_| "subject")?,
        status: text(data, "status")?,
        attempt: attempt.ok_or("attempt")?,
    })
}

/// Reads the file and attempt that a value names, even if the rest of it is unusable; attempt 1 if it names none.
pub fn named_attempt(value: Option<&[u8]>) -> Option<(i64, i32)> {
    /// The other members may be anything that has an end.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        file_id: i64,
        #[serde(default)]
        attempt: Value,
    }
    let Named { file_id, attempt } = serde_json::from_slice(value?).ok()?;
    let attempt = attempt.as_i64().and_then(|number| i32::try_from(number).ok());
    (file_id > 0).then_some((file_id, attempt.unwrap_or(1)))
}

fn object(value: Option<&[u8]>) -> Result<Map<String, Value>, String> {
    let value = value.ok_or("no value")?;
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

fn file_id(object: &Map<String, Value>) -> Result<i64, String> {
    positive(object.get("fileId").unwrap_or(&Value::Null), "fileId")
}

fn positive(number: &Value, name: &'static str) -> Result<i64, String> {
    number.as_i64().filter(|number| *number > 0).ok_or_else(|| name.to_owned())
}

fn text_or_null(object: &Map<String, Value>, name: &'static str) -> Result<Option<String>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(name.to_owned()),
    }
}

fn time(value: Option<&Value>) -> Option<i64> {
    let at = DateTime::parse_from_rfc3339(value?.as_str()?).ok()?;
    Some(at.timestamp_millis())
}
