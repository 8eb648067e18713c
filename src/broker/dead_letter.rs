//! What becomes of a record that can't be processed: its bytes, why, and where it came from (docs/EVENTS.md).

use bytes::Bytes;

use super::{Delivery, Record};
use crate::domain::{Attempt, FileId};

pub mod header {
    pub const ERROR: &str = "x-error";
    pub const ATTEMPT: &str = "x-attempt";
    pub const ORIGINAL_TOPIC: &str = "x-original-topic";
    pub const ORIGINAL_PARTITION: &str = "x-original-partition";
    pub const ORIGINAL_OFFSET: &str = "x-original-offset";
}

const MAX_CAUSE_CHARS: usize = 1000;

/// The value is untouched; the key is the file's id, or the original key when that is unknown. The original headers
/// stay, but for those named in [`header`]: they always speak of this failure, also for a dead letter of a dead
/// letter. Without an attempt there is no `x-attempt`.
pub fn dead_letter(
    delivery: &Delivery,
    file_id: Option<FileId>,
    attempt: Option<Attempt>,
    cause: &str,
) -> Record {
    let Delivery { position, record } = delivery;
    let mut headers = record.headers.clone();
    headers.remove(header::ATTEMPT);
    let facts = [
        (header::ERROR, Some(one_line(cause))),
        (header::ATTEMPT, attempt.map(|attempt| attempt.to_string())),
        (header::ORIGINAL_TOPIC, Some(position.topic.to_string())),
        (header::ORIGINAL_PARTITION, Some(position.partition.to_string())),
        (header::ORIGINAL_OFFSET, Some(position.offset.to_string())),
    ];
    headers.extend(facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), Bytes::from(fact?)))));
    Record {
        key: file_id.map_or_else(|| record.key.clone(), |id| Some(Bytes::from(id.to_string()))),
        value: record.value.clone(),
        headers,
    }
}

/// Runs of white space and control characters as one space; cut where it gets too long.
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::broker::Position;

    fn delivery() -> Delivery {
        Delivery {
            position: Position { topic: "file.create".into(), partition: 2, offset: 15 },
            record: Record {
                key: Some(Bytes::from_static(b"\xff key")),
                value: Some(Bytes::from_static(b"{not json \xff")),
                headers: headers(&[("event-id", "e"), ("x-attempt", "9"), ("x-error", "old")]),
            },
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, Bytes> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Bytes::from((*value).to_owned()));
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_dead_letter_has_the_original_bytes_and_says_why_and_where_from() {
        let letter = dead_letter(&delivery(), Some(FileId(42)), Some(Attempt(3)), "no such format");
        assert_eq!(letter.value, delivery().record.value);
        assert_eq!(letter.key, Some(Bytes::from_static(b"42")));
        assert_eq!(
            letter.headers,
            headers(&[
                ("event-id", "e"),
                ("x-attempt", "3"),
                ("x-error", "no such format"),
                ("x-original-offset", "15"),
                ("x-original-partition", "2"),
                ("x-original-topic", "file.create"),
            ])
        );
    }

    #[test]
    fn what_is_unknown_stays_away_and_the_key_stays_as_it_was() {
        let letter = dead_letter(&delivery(), None, None, "not a file.create message");
        assert_eq!(letter.key, delivery().record.key);
        assert!(!letter.headers.contains_key("x-attempt"));

        let mut empty = delivery();
        (empty.record.key, empty.record.value) = (None, None);
        let letter = dead_letter(&empty, None, None, "the record has no value");
        assert_eq!((letter.key, letter.value), (None, None));
    }

    #[test]
    fn the_cause_is_one_line_of_bounded_length() {
        let error = |cause: &str| {
            let letter = dead_letter(&delivery(), None, None, cause);
            String::from_utf8(letter.headers["x-error"].to_vec()).unwrap()
        };
        assert_eq!(error(" one\r\n\ttwo\0three\u{85}four "), "one two three four");
        assert_eq!(error(""), "");
        assert_eq!(error(&"é".repeat(1000)), "é".repeat(1000));
        assert_eq!(error(&"é".repeat(1001)), format!("{}…", "é".repeat(1000)));
    }
}
