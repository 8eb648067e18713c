//! JSON of dead letters, as docs/API.md documents it. A new member of a domain type is not public until it is added here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::actions::dead_letters::Replayed;
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::{
    Attempt, DeadLetter, DeadLetterHeader, DeadLetterId, DeadLetterState, FileId, Origin, Result, Status,
    Timestamp,
};
use crate::http::json_response;
use crate::http::validators::Validators;

/// Record of a dead letter.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetterBody<'a> {
    id: DeadLetterId,
    state: DeadLetterState,
    error: &'a str,
    file_id: Option<FileId>,
    attempt: Option<Attempt>,
    origin: Option<OriginBody<'a>>,
    partition: i32,
    offset: i64,
    /// Text; bytes that are not UTF-8 are shown as U+FFFD.
    key: Option<Cow<'a, str>>,
    headers: &'a BTreeMap<String, String>,
    header_list: Vec<HeaderBody<'a>>,
    size: Option<i64>,
    /// Value that is UTF-8; any other is in `value_base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<Cow<'a, str>>,
    received_at: Timestamp,
    settled_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct OriginBody<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

#[derive(Debug, Serialize)]
struct HeaderBody<'a> {
    name: &'a str,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<&'a str>,
}

impl<'a> From<&'a DeadLetter> for DeadLetterBody<'a> {
    fn from(dead_letter: &'a DeadLetter) -> Self {
        let (value, value_base64) = match &dead_letter.value {
            Some(Value::Text(text)) => (Some(text.as_str()), None),
            Some(bytes @ Value::Bytes(_)) => (None, Some(bytes.as_text())),
            None => (None, None),
        };
        Self {
            id: dead_letter.id,
            state: dead_letter.state,
            error: &dead_letter.error,
            file_id: dead_letter.file_id,
            attempt: dead_letter.attempt,
            origin: dead_letter.origin.as_ref().map(OriginBody::from),
            partition: dead_letter.partition,
            offset: dead_letter.offset,
            key: dead_letter.key.as_deref().map(String::from_utf8_lossy),
            headers: &dead_letter.headers,
            header_list: dead_letter.header_list.iter().map(HeaderBody::from).collect(),
            size: dead_letter.size,
            value,
            value_base64,
            received_at: dead_letter.received_at,
            settled_at: dead_letter.settled_at,
        }
    }
}

impl<'a> From<&'a Origin> for OriginBody<'a> {
    fn from(origin: &'a Origin) -> Self {
        Self { topic: &origin.topic, partition: origin.partition, offset: origin.offset }
    }
}

impl<'a> From<&'a DeadLetterHeader> for HeaderBody<'a> {
    fn from(header: &'a DeadLetterHeader) -> Self {
        Self {
            name: &header.name,
            value: header.value.as_deref(),
            value_base64: header.value_base64.as_deref(),
        }
    }
}

/// Returns what preconditions of a change are compared with: the validators of `GET /dead-letters/{id}`.
pub(super) fn validators(dead_letter: &DeadLetter) -> Result<Validators> {
    Ok(Validators::tag_only(json_response::strong_tag(&DeadLetterBody::from(dead_letter))?))
}

/// Page of the list.
#[derive(Debug)]
pub(super) struct DeadLetterListBody<'a>(pub &'a [DeadLetter]);

impl Serialize for DeadLetterListBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(DeadLetterBody::from))
    }
}

/// Outcome of a replay, for programs and (`detail`) for people. Each outcome has members of its own.
#[derive(Debug, Serialize)]
pub(super) struct ReplayBody {
    id: DeadLetterId,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<FileId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'static str>,
    detail: String,
}

impl ReplayBody {
    pub fn new(id: DeadLetterId, replayed: Replayed) -> Self {
        let mut body = Self {
            id,
            outcome: "",
            file_id: None,
            attempt: None,
            status: None,
            topic: None,
            detail: replayed.to_string(),
        };
        match replayed {
            Replayed::AskedAgain { file_id, attempt } => {
                body.outcome = "asked_again";
                (body.file_id, body.attempt) = (Some(file_id), Some(attempt));
            }
            Replayed::Published { topic } => {
                body.outcome = "published";
                body.topic = Some(topic);
            }
            Replayed::Superseded { file_id, status } => {
                body.outcome = "superseded";
                (body.file_id, body.status) = (Some(file_id), Some(status));
            }
            Replayed::Before => body.outcome = "before",
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &impl Serialize) -> String {
        serde_json::to_string(body).unwrap()
    }

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            id: DeadLetterId(3),
            state: DeadLetterState::Replayed,
            error: "not a file.create message".to_owned(),
            file_id: Some(FileId(7)),
            attempt: Some(Attempt(2)),
            origin: Some(Origin { topic: "file.create".to_owned(), partition: 1, offset: 42 }),
            partition: 0,
            offset: 5,
            key: Some(b"k\xff".to_vec()),
            headers: [("a".to_owned(), "2".to_owned())].into(),
            header_list: vec![
                DeadLetterHeader::new("a".to_owned(), Some(b"1")),
                DeadLetterHeader::new("b".to_owned(), None),
                DeadLetterHeader::new("c".to_owned(), Some(b"\xff")),
            ],
            size: Some(8),
            value: Some(Value::Text("not json".to_owned())),
            received_at: serde_json::from_value("2026-01-03T00:00:00Z".into()).unwrap(),
            settled_at: Some(serde_json::from_value("2026-01-03T00:00:01Z".into()).unwrap()),
        }
    }

    const FULL: &str = r#"{"id":3,"state":"replayed","error":"not a file.create message","file_id":7,"attempt":2,"origin":{"topic":"file.create","partition":1,"offset":42},"partition":0,"offset":5,"key":"k�","headers":{"a":"2"},"header_list":[{"name":"a","value":"1"},{"name":"b","value":null},{"name":"c","value":null,"value_base64":"/w=="}],"size":8,"value":"not json","received_at":"2026-01-03T00:00:00.000Z","settled_at":"2026-01-03T00:00:01.000Z"}"#;

    #[test]
    fn a_dead_letter_has_these_members_in_this_order() {
        let bare = DeadLetter {
            state: DeadLetterState::Open,
            file_id: None,
            attempt: None,
            origin: None,
            key: None,
            headers: BTreeMap::new(),
            header_list: Vec::new(),
            size: None,
            value: None,
            settled_at: None,
            ..dead_letter()
        };
        let without_value = r#"{"id":3,"state":"open","error":"not a file.create message","file_id":null,"attempt":null,"origin":null,"partition":0,"offset":5,"key":null,"headers":{},"header_list":[],"size":null,"received_at":"2026-01-03T00:00:00.000Z","settled_at":null}"#;
        assert_eq!(json(&DeadLetterBody::from(&dead_letter())), FULL);
        assert_eq!(json(&DeadLetterBody::from(&bare)), without_value);
        assert_eq!(json(&DeadLetterListBody(&[dead_letter(), bare])), format!("[{FULL},{without_value}]"));
        let bytes = DeadLetter { value: Some(Value::Bytes(vec![255])), ..dead_letter() };
        let expected = FULL.replace(r#""value":"not json""#, r#""value_base64":"/w==""#);
        assert_eq!(json(&DeadLetterBody::from(&bytes)), expected);
    }

    #[test]
    fn the_tag_of_a_change_is_that_of_the_record_that_is_sent() {
        let tag = validators(&dead_letter()).unwrap().tag;
        assert_eq!(tag, Some(crate::http::etag::strong(FULL.as_bytes())));
    }

    #[test]
    fn each_outcome_of_a_replay_has_these_members_in_this_order() {
        for (replayed, members) in [
            (
                Replayed::AskedAgain { file_id: FileId(7), attempt: Attempt(2) },
                r#""outcome":"asked_again","file_id":7,"attempt":2"#,
            ),
            (
                Replayed::Published { topic: "file.created" },
                r#""outcome":"published","topic":"file.created""#,
            ),
            (
                Replayed::Superseded { file_id: FileId(7), status: Status::Completed },
                r#""outcome":"superseded","file_id":7,"status":"completed""#,
            ),
            (Replayed::Before, r#""outcome":"before""#),
        ] {
            let detail = serde_json::to_string(&replayed.to_string()).unwrap();
            let expected = format!(r#"{{"id":3,{members},"detail":{detail}}}"#);
            assert_eq!(json(&ReplayBody::new(DeadLetterId(3), replayed)), expected);
        }
    }
}
