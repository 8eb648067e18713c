//! Records, their headers and their positions.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Record as it is published and read; key and value may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

/// Headers of a record, in order. As in Kafka, names may repeat and values may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, Option<Bytes>)>);

impl Headers {
    /// Lists the headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// Adds a header behind the others.
    pub fn push(&mut self, name: impl Into<String>, value: Option<Bytes>) {
        self.0.push((name.into(), value));
    }

    /// Returns the value of the last header with this name, as Kafka's own clients do.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|(known, _)| known == name)?.1.as_ref()
    }

    /// Removes every header with this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Returns the bytes of names and values.
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.map_or(0, Bytes::len)).sum()
    }

    /// Tells whether a sorted map can represent them: sorted by name, without repetitions or absent values.
    pub fn are_plain(&self) -> bool {
        self.0.is_sorted_by(|(a, _), (b, _)| a < b) && self.0.iter().all(|(_, value)| value.is_some())
    }
}

impl<N: Into<String>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect())
    }
}

impl<N: Into<String>, V: Into<Bytes>, const COUNT: usize> From<[(N, V); COUNT]> for Headers {
    fn from(headers: [(N, V); COUNT]) -> Self {
        headers.into_iter().collect()
    }
}

/// Partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// Position of a record, or (in commits) of the next one to consume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

impl Position {
    /// Returns the partition of this position.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Record that was read, or a range of offsets that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub position: Position,
    /// Time of the record in milliseconds since 1970, as the broker has it; negative where it has none.
    pub timestamp_ms: i64,
    pub record: Record,
    /// Set when the batch that begins at `position` can't be decoded; `record` is empty then.
    pub undecodable: Option<Undecodable>,
}

/// Batch of records that none of our clients can decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// First offset behind the batch.
    pub next_offset: i64,
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_what_repeats() {
        let mut headers = Headers::from([("a", "1"), ("a", "2")]);
        headers.push("b", None);
        let all: Vec<_> = headers.iter().map(|(name, value)| (name, value.map(|v| &v[..]))).collect();
        assert_eq!(all, [("a", Some(&b"1"[..])), ("a", Some(b"2")), ("b", None)]);
        assert_eq!(headers.get("a"), Some(&Bytes::from_static(b"2")));
        assert_eq!((headers.get("b"), headers.size()), (None, 5));
        assert!(!headers.are_plain());
        headers.remove("a");
        assert!(!headers.are_plain(), "a value is absent");
        assert!(Headers::from([("a", "1"), ("b", "")]).are_plain());
        assert!(!Headers::from([("b", "1"), ("a", "")]).are_plain());
    }
}
