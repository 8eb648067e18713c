//! Dead letters: records that can't be processed, with their bytes, the cause and their origin (docs/EVENTS.md).

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Delivery, Position, Record};
use crate::domain::{Attempt, FileId};

/// Names of the headers that a dead letter adds.
pub mod header {
    /// Header with the UUID of the dead letter itself.
    pub const LETTER_ID: &str = "x-letter-id";
    /// Header with the reason.
    pub const ERROR: &str = "x-error";
    /// Header with the number of tries.
    pub const ATTEMPT: &str = "x-attempt";
    /// Header with the topic of the record.
    pub const ORIGINAL_TOPIC: &str = "x-original-topic";
    /// Header with the partition of the record.
    pub const ORIGINAL_PARTITION: &str = "x-original-partition";
    /// Header with the offset of the record.
    pub const ORIGINAL_OFFSET: &str = "x-original-offset";
    /// Header with the last offset of a batch that can't be decoded.
    pub const ORIGINAL_LAST_OFFSET: &str = "x-original-last-offset";

    /// Names of all headers that a dead letter adds.
    pub const ALL: [&str; 7] = [
        LETTER_ID,
        ERROR,
        ATTEMPT,
        ORIGINAL_TOPIC,
        ORIGINAL_PARTITION,
        ORIGINAL_OFFSET,
        ORIGINAL_LAST_OFFSET,
    ];
}

/// Maximum length of the cause; a longer one is cut.
const MAX_CAUSE_CHARS: usize = 1000;

/// Makes the dead letter of a record. The value is unchanged; the key is the file's id, or the original key when that
/// is unknown. The original headers stay, except those named in [`header`]: they always describe this failure, even in
/// the dead letter of a dead letter. Without an attempt there is no `x-attempt`.
pub fn dead_letter(
    id: Uuid,
    delivery: &Delivery,
    file_id: Option<FileId>,
    attempt: Option<Attempt>,
    cause: &str,
) -> Record {
    let Delivery { position, record, undecodable, .. } = delivery;
    let mut headers = record.headers.clone();
    for name in header::ALL {
        headers.remove(name);
    }
    // Sorted by name: so that rskafka can carry them, unless the original headers prevent it.
    let added = [
        (header::ATTEMPT, attempt.map(|attempt| attempt.to_string())),
        (header::ERROR, Some(one_line(cause))),
        (header::LETTER_ID, Some(id.to_string())),
        (header::ORIGINAL_LAST_OFFSET, undecodable.as_ref().map(|batch| (batch.next_offset - 1).to_string())),
        (header::ORIGINAL_OFFSET, Some(position.offset.to_string())),
        (header::ORIGINAL_PARTITION, Some(position.partition.to_string())),
        (header::ORIGINAL_TOPIC, Some(position.topic.to_string())),
    ];
    for (name, value) in added {
        if let Some(value) = value {
            headers.push(name, Some(Bytes::from(value)));
        }
    }
    Record {
        key: file_id.map_or_else(|| record.key.clone(), |id| Some(Bytes::from(id.to_string()))),
        value: record.value.clone(),
        headers,
    }
}

/// Derives the dead letter's id from the record's position, time, bytes and headers. A record that is dead-lettered
/// again gets the same id; another record at the same position of a recreated topic gets another one.
pub fn identity(delivery: &Delivery) -> Uuid {
    let Delivery { position, timestamp_ms, record, undecodable } = delivery;
    let mut digest = Sha256::new();
    // With its length, so that no two different lists of parts digest the same bytes.
    let mut part = |bytes: &[u8]| {
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    part(position.topic.as_bytes());
    part(&position.partition.to_be_bytes());
    part(&position.offset.to_be_bytes());
    part(&timestamp_ms.to_be_bytes());
    for bytes in [&record.key, &record.value] {
        part(&[u8::from(bytes.is_some())]);
        part(bytes.as_deref().unwrap_or_default());
    }
    for (name, value) in record.headers.iter() {
        part(name.as_bytes());
        match value {
            Some(value) => part(value),
            None => {
                part(b"");
                part(b"absent");
            }
        }
    }
    if let Some(batch) = undecodable {
        part(&batch.next_offset.to_be_bytes());
        part(batch.cause.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// Content of the headers of a dead letter; what is absent or can't be read is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeadLetterHeaders {
    pub id: Option<Uuid>,
    pub cause: Option<String>,
    pub attempt: Option<Attempt>,
    pub origin: Option<Position>,
}

/// Reads the headers of a record on the dead-letter topic.
pub fn read(record: &Record) -> DeadLetterHeaders {
    let text = |name| std::str::from_utf8(record.headers.get(name)?).ok();
    let origin = || {
        Some(Position {
            topic: text(header::ORIGINAL_TOPIC)?.into(),
            partition: text(header::ORIGINAL_PARTITION)?.parse().ok()?,
            offset: text(header::ORIGINAL_OFFSET)?.parse().ok()?,
        })
    };
    DeadLetterHeaders {
        id: text(header::LETTER_ID).and_then(|id| id.parse().ok()),
        cause: text(header::ERROR).map(str::to_owned),
        attempt: text(header::ATTEMPT).and_then(|number| number.parse().ok()).map(Attempt),
        origin: origin(),
    }
}

/// Makes one line of a text: runs of white space and control characters become one space, and it is cut where it is too
/// long.
fn one_line(cause: &str) -> String {
    let words = cause.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CAUSE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Headers;

    const ID: Uuid = Uuid::from_u128(7);

    fn delivery() -> Delivery {
        Delivery {
            position: Position { topic: "file.create".into(), partition: 2, offset: 15 },
            timestamp_ms: 1_700_000_000_000,
            record: Record {
                key: Some(Bytes::from_static(b"\xff key")),
                value: Some(Bytes::from_static(b"{not json \xff")),
                headers: headers(&[("event-id", "e"), ("x-attempt", "9"), ("x-error", "old")]),
            },
            undecodable: None,
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn a_dead_letter_has_the_original_bytes_and_says_why_and_where_from() {
        let record = dead_letter(ID, &delivery(), Some(FileId(42)), Some(Attempt(3)), "no such format");
        assert_eq!(record.value, delivery().record.value);
        assert_eq!(record.key, Some(Bytes::from_static(b"42")));
        assert_eq!(
            record.headers,
            headers(&[
                ("event-id", "e"),
                ("x-attempt", "3"),
                ("x-error", "no such format"),
                ("x-letter-id", "00000000-0000-0000-0000-000000000007"),
                ("x-original-offset", "15"),
                ("x-original-partition", "2"),
                ("x-original-topic", "file.create"),
            ])
        );
    }

    #[test]
    fn the_headers_of_a_dead_letter_can_be_read() {
        let record = dead_letter(ID, &delivery(), Some(FileId(42)), Some(Attempt(3)), "no such format");
        let expected = DeadLetterHeaders {
            id: Some(ID),
            cause: Some("no such format".to_owned()),
            attempt: Some(Attempt(3)),
            origin: Some(delivery().position),
        };
        assert_eq!(read(&record), expected);
        let foreign = Record { headers: headers(&[("x-original-topic", "t")]), ..Record::default() };
        assert_eq!(read(&foreign), DeadLetterHeaders::default());
    }

    #[test]
    fn a_record_is_identified_by_its_position_its_time_its_bytes_and_its_headers() {
        let own = identity(&delivery());
        assert_eq!(own, identity(&delivery()));
        let change = |change: fn(&mut Delivery)| {
            let mut other = delivery();
            change(&mut other);
            identity(&other)
        };
        let others = [
            change(|other| other.position.topic = "file.created".into()),
            change(|other| other.position.partition = 3),
            change(|other| other.position.offset = 16),
            change(|other| other.timestamp_ms += 1),
            change(|other| other.record.key = None),
            change(|other| other.record.value = Some(Bytes::new())),
            change(|other| other.record.value = None),
            change(|other| other.record.headers.remove("event-id")),
            change(|other| other.record.headers.push("a", None)),
            change(|other| other.record.headers.push("a", Some(Bytes::new()))),
        ];
        let all = others.iter().chain([&own]).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(all.len(), others.len() + 1, "{others:?}");
    }

    #[test]
    fn what_is_unknown_is_left_out_and_the_key_stays_as_it_was() {
        let record = dead_letter(ID, &delivery(), None, None, "not a file.create message");
        assert_eq!(record.key, delivery().record.key);
        assert_eq!(record.headers.get("x-attempt"), None);

        let mut empty = delivery();
        (empty.record.key, empty.record.value) = (None, None);
        let record = dead_letter(ID, &empty, None, None, "the record has no value");
        assert_eq!((record.key, record.value), (None, None));
    }

    #[test]
    fn the_cause_is_one_line_of_bounded_length() {
        let error = |cause: &str| {
            let record = dead_letter(ID, &delivery(), None, None, cause);
            String::from_utf8(record.headers.get("x-error").unwrap().to_vec()).unwrap()
        };
        assert_eq!(error(" one\r\n\ttwo\0three\u{85}four "), "one two three four");
        assert_eq!(error(""), "");
        assert_eq!(error(&"é".repeat(1000)), "é".repeat(1000));
        assert_eq!(error(&"é".repeat(1001)), format!("{}…", "é".repeat(1000)));
    }
}
