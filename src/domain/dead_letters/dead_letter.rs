//! Dead letters as people look at them: a record that could not be processed, why, and what was done about it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::{Attempt, DeadLetterId, FileId, Result, Timestamp};

/// State of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterState {
    /// It is to be replayed or discarded.
    Open,
    /// Its file was requested again, or its record published again.
    Replayed,
    /// Nothing more is to be done about it.
    Discarded,
}

impl DeadLetterState {
    /// All states, in their order.
    pub const ALL: [Self; 3] = [Self::Open, Self::Replayed, Self::Discarded];

    /// Returns the name that the API, the command line and the database use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    /// Parses such a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Position of the record that could not be processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// The record of the HTTP API, in the order of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub id: DeadLetterId,
    pub state: DeadLetterState,
    /// Reason why the record could not be processed.
    pub error: String,
    /// The file that the value names, whether there is one or not.
    pub file_id: Option<FileId>,
    pub attempt: Option<Attempt>,
    /// `None` when the dead letter does not say.
    pub origin: Option<Origin>,
    /// Position of the dead letter itself on its topic.
    pub partition: i32,
    pub offset: i64,
    #[serde(serialize_with = "as_text")]
    pub key: Option<Vec<u8>>,
    /// The record's own, as text; of those with one name the last, and nothing for one without a value.
    pub headers: BTreeMap<String, String>,
    /// The same in their order, those that repeat and those without a value too.
    pub header_list: Vec<DeadLetterHeader>,
    /// Bytes of the original value; `None`: the record had no value.
    pub size: Option<i64>,
    #[serde(flatten)]
    pub value: Option<Value>,
    pub received_at: Timestamp,
    /// Time at which it was replayed or discarded.
    pub settled_at: Option<Timestamp>,
}

/// A header as JSON can have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterHeader {
    pub name: String,
    /// Text, unless it is not UTF-8 or has U+0000, which PostgreSQL does not store.
    pub value: Option<String>,
    /// The bytes that are no text, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

impl DeadLetterHeader {
    /// Makes a header; a value that is no text is kept as bytes.
    pub fn new(name: String, value: Option<&[u8]>) -> Self {
        let Some(bytes) = value else { return Self { name, value: None, value_base64: None } };
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                Self { name, value: Some(text.to_owned()), value_base64: None }
            }
            Ok(_) | Err(_) => Self { name, value: None, value_base64: Some(BASE64_STANDARD.encode(bytes)) },
        }
    }

    /// Shows the bytes to people: what is no text has U+FFFD in it.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match (&self.value, &self.value_base64) {
            (Some(text), _) => Some(text.into()),
            (None, Some(base64)) => {
                let bytes = BASE64_STANDARD.decode(base64).unwrap_or_default();
                Some(String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}").into())
            }
            (None, None) => None,
        }
    }
}

/// Bytes as JSON can have them: `value` when they are text, `value_base64` when not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Value {
    #[serde(rename = "value")]
    Text(String),
    #[serde(rename = "value_base64", serialize_with = "as_base64")]
    Bytes(Vec<u8>),
}

impl Value {
    /// `is_cut`: there were more, and a last character may have been cut in half.
    pub fn of(bytes: Vec<u8>, is_cut: bool) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => {
                let (cause, mut bytes) = (error.utf8_error(), error.into_bytes());
                if is_cut && cause.error_len().is_none() {
                    bytes.truncate(cause.valid_up_to());
                    return Self::of(bytes, false);
                }
                Self::Bytes(bytes)
            }
        }
    }

    /// The text itself, or the bytes in base64.
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => BASE64_STANDARD.encode(bytes).into(),
        }
    }

    /// Returns the bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

#[expect(clippy::ref_option, reason = "what serde calls it with")]
fn as_text<S: Serializer>(key: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_deref().map(String::from_utf8_lossy).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_as_far_as_it_can_be() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(Value::of(b"not json".to_vec(), false), text("not json"));
        assert_eq!(Value::of(b"\xff\xfe".to_vec(), true), Value::Bytes(b"\xff\xfe".to_vec()));
        let half = "aé".as_bytes()[..2].to_vec();
        assert_eq!(Value::of(half.clone(), true), text("a"));
        assert_eq!(Value::of(half.clone(), false), Value::Bytes(half));
        let json = |value: Value| serde_json::to_value(value).unwrap();
        assert_eq!(json(text("a")), serde_json::json!({"value": "a"}));
        assert_eq!(json(Value::Bytes(vec![255])), serde_json::json!({"value_base64": "/w=="}));
    }
}
