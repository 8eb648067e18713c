//! librdkafka's messages as records, and what it says of those that it can't decode.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};

use crate::broker::{Headers, Record};

pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers).unwrap_or_default(),
    }
}

fn headers(theirs: &BorrowedHeaders) -> Headers {
    let mut headers = Headers::default();
    for index in 0..theirs.count() {
        // rdkafka panics on a name that is not UTF-8; such a header is left out.
        if let Ok(header) = catch_unwind(AssertUnwindSafe(|| theirs.get(index))) {
            headers.push(header.key, header.value.map(Bytes::copy_from_slice));
        }
    }
    headers
}

/// What librdkafka says while it reads a partition, without saying which: the next answer of `poll` is of that partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Everything below this offset was given or is not to be given.
    End(i64),
    /// The batch that begins at this offset can't be decoded.
    Undecodable { offset: i64, cause: String },
}

/// A batch's own fault: asking again gives the same.
pub(super) fn is_of_a_batch(code: RDKafkaErrorCode) -> bool {
    // Its decompression, its checksum, its format, its size.
    const FAULTS: [RDKafkaErrorCode; 4] = [
        RDKafkaErrorCode::BadCompression,
        RDKafkaErrorCode::BadMessage,
        RDKafkaErrorCode::NotImplemented,
        RDKafkaErrorCode::MessageSizeTooLarge,
    ];
    FAULTS.contains(&code)
}

/// `None`: it is something else. librdkafka has the offset in its text only.
pub(super) fn signal(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<Signal> {
    let after = |words: &str| -> Option<i64> {
        let rest = &reason[reason.find(words)? + words.len()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    };
    let code = code?;
    if code == RDKafkaErrorCode::PartitionEOF {
        return after("at offset ").map(Signal::End);
    }
    let offset = || after("offset ").or_else(|| after("message at "));
    let offset = is_of_a_batch(code).then(offset).flatten()?;
    Some(Signal::Undecodable { offset, cause: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_found_in_what_librdkafka_says() {
        let end = "Fetch from broker 1 reached end of partition at offset 42 (HighwaterMark 42)";
        assert_eq!(signal(Some(RDKafkaErrorCode::PartitionEOF), end), Some(Signal::End(42)));
        for (code, cause) in [
            (
                RDKafkaErrorCode::BadCompression,
                "Decompression (codec 0x4) of message at 7 of 85 bytes failed: Local: Invalid compressed data",
            ),
            (
                RDKafkaErrorCode::BadMessage,
                "MessageSet at offset 7 (120 bytes) failed CRC32C check (original 0x1 != calculated 0x2)",
            ),
            (RDKafkaErrorCode::NotImplemented, "Unsupported Message(Set) MagicByte 9 at offset 7"),
        ] {
            let expected = Signal::Undecodable { offset: 7, cause: cause.to_owned() };
            assert_eq!(signal(Some(code), cause), Some(expected));
        }
        assert_eq!(signal(Some(RDKafkaErrorCode::NotImplemented), "something else"), None);
        assert_eq!(signal(Some(RDKafkaErrorCode::AllBrokersDown), end), None);
        assert_eq!(signal(None, end), None);
    }
}
