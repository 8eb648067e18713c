//! Keep dead letters as rows, where people see and settle them, whatever becomes of the topic.

use futures_util::FutureExt;

use crate::actions::{DeadLettersContext, batch};
use crate::broker::{Delivery, Record, dead_letter};
use crate::db::dead_letters::NewDeadLetter;
use crate::domain::{DeadLetterHeader, FileId, Origin, Result};
use crate::faults;

const ERROR_MAX_CHARS: usize = 2000;
const TEXT_MAX_CHARS: usize = 500;
/// Bytes stored of one header's value; the topic has the whole.
const HEADER_MAX_BYTES: usize = 4096;
/// A record of a megabyte may have a hundred thousand.
const HEADERS_MAX: usize = 1000;

/// A record of the topic, and the file that its value names.
pub type StoreRequest<'a> = (&'a Delivery, Option<FileId>);

/// Stores dead letters, with one answer for each, in order. One that is stored already is `Ok` and changes nothing.
pub async fn store(ctx: &DeadLettersContext, requests: &[StoreRequest<'_>]) -> Vec<Result<()>> {
    let together = insert(ctx, requests).await;
    batch::else_each(together, requests, |one| insert(ctx, one).boxed()).await
}

/// Stores dead letters in one transaction.
async fn insert(ctx: &DeadLettersContext, requests: &[StoreRequest<'_>]) -> Result<Vec<Result<()>>> {
    let rows = requests.iter().map(|(delivery, file_id)| row(delivery, *file_id)).collect();
    let new = ctx.db.dead_letters().store(rows).await?;
    faults::point!(DeadLettersStored);
    if new > 0 {
        log::info!(new; "dead letters stored");
    }
    Ok(requests.iter().map(|_| Ok(())).collect())
}

fn row(delivery: &Delivery, file_id: Option<FileId>) -> NewDeadLetter {
    let Delivery { position, record, .. } = delivery;
    let said = dead_letter::read(record);
    NewDeadLetter {
        // Others may put letters there that have none.
        letter_id: said.id.unwrap_or_else(|| dead_letter::identity(delivery)),
        partition: position.partition,
        offset: position.offset,
        origin: said.origin.map(|at| Origin {
            topic: clean(&at.topic, TEXT_MAX_CHARS),
            partition: at.partition,
            offset: at.offset,
        }),
        key: record.key.as_deref().map(<[u8]>::to_vec),
        value: record.value.as_deref().map(<[u8]>::to_vec),
        headers: own_headers(record),
        file_id,
        attempt: said.attempt,
        error: said
            .cause
            .map_or_else(|| "the letter does not say why".to_owned(), |cause| clean(&cause, ERROR_MAX_CHARS)),
    }
}

/// Selects the headers that the record had before it was dead-lettered.
fn own_headers(record: &Record) -> Vec<DeadLetterHeader> {
    let added = dead_letter::header::ALL;
    let own = record.headers.iter().filter(|(name, _)| !added.contains(name));
    let own = own.map(|(name, value)| {
        let value = value.map(|value| &value[..value.len().min(HEADER_MAX_BYTES)]);
        DeadLetterHeader::new(clean(name, TEXT_MAX_CHARS), value)
    });
    own.take(HEADERS_MAX).collect()
}

/// PostgreSQL stores no U+0000.
fn clean(text: &str, max_chars: usize) -> String {
    text.chars().map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::broker::Position;

    fn at(offset: i64, value: &'static [u8]) -> Delivery {
        let headers = [("trace\0parent", b"a\0b\xff".as_slice()), ("x-error", b"why\0")];
        let headers = headers.map(|(name, value)| (name, Bytes::from_static(value)));
        Delivery {
            position: Position { topic: "file.create.dlq".into(), partition: 1, offset },
            timestamp_ms: 0,
            record: Record { key: None, value: Some(Bytes::from_static(value)), headers: headers.into() },
            undecodable: None,
        }
    }

    #[test]
    fn what_a_database_would_refuse_is_replaced() {
        let row = row(&at(3, b"\0\xff"), None);
        assert_eq!(row.error, "why\u{fffd}");
        let header = DeadLetterHeader::new("trace\u{fffd}parent".to_owned(), Some(b"a\0b\xff"));
        assert_eq!(row.headers, std::slice::from_ref(&header));
        assert_eq!((header.value.as_deref(), header.value_base64.as_deref()), (None, Some("YQBi/w==")));
        assert_eq!(header.as_text().as_deref(), Some("a\u{fffd}b\u{fffd}"));
        assert_eq!(row.value.as_deref(), Some(b"\0\xff".as_slice()), "bytes stay as they are");
    }
}
