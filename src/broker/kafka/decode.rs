//! librdkafka's messages as records, and its reports about batches that it can't decode.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};

use crate::broker::{Headers, Record};

/// Copies a message into a record.
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
        // rdkafka panics on a name that is not UTF-8. Such a header is left out.
        if let Ok(header) = catch_unwind(AssertUnwindSafe(|| theirs.get(index))) {
            headers.push(header.key, header.value.map(Bytes::copy_from_slice));
        }
    }
    headers
}

/// Report of librdkafka about the partition that it reads. It does not name the partition: the next result of `poll`
/// belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Nothing that can be read is left below this offset.
    End(i64),
    /// The batch that begins at this offset can't be decoded.
    Undecodable { offset: i64, cause: String },
}

/// Tells whether an error is a defect of the batch itself, so that reading it again fails again.
pub(super) fn is_batch_defect(code: RDKafkaErrorCode) -> bool {
    // Compression, checksum, format, size.
    const DEFECTS: [RDKafkaErrorCode; 4] = [
        RDKafkaErrorCode::BadCompression,
        RDKafkaErrorCode::BadMessage,
        RDKafkaErrorCode::NotImplemented,
        RDKafkaErrorCode::MessageSizeTooLarge,
    ];
    DEFECTS.contains(&code)
}

/// Reads a report from an error; `None` for every other error. librdkafka names the offset in the text only.
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
    let offset = is_batch_defect(code).then(offset).flatten()?;
    Some(Signal::Undecodable { offset, cause: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_found_in_librdkafkas_text() {
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
