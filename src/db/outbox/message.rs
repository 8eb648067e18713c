//! A message on its way from the change that it announces to Kafka, and its insertion into the table.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Interval, Nullable, Text, Uuid};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

use super::listen;
use crate::db::clock;
use crate::db::columns::IdColumn;
use crate::db::schema::outbox;
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::domain::{Error, EventId, FileId, Result};

/// A record to publish. The same bytes are bound to the INSERT and sent to Kafka.
#[derive(Debug, Clone)]
pub struct OutboxMessage {
    pub event_id: EventId,
    pub topic: Cow<'static, str>,
    pub key: Option<Bytes>,
    value: Bytes,
    /// 0 for a record that names no known file.
    pub file_id: FileId,
}

impl OutboxMessage {
    /// Makes a message with bytes as they are. A value without bytes is refused: consumers dead-letter it.
    pub fn new(
        event_id: EventId,
        topic: impl Into<Cow<'static, str>>,
        key: Option<Bytes>,
        value: Bytes,
        file_id: FileId,
    ) -> Result<Self> {
        let topic = topic.into();
        if value.is_empty() {
            return Err(Error::internal(format!("a message for {topic} has no value")));
        }
        Ok(Self { event_id, topic, key, value, file_id })
    }

    /// Makes a message with a JSON value.
    pub fn json(
        event_id: EventId,
        topic: impl Into<Cow<'static, str>>,
        key: Option<Bytes>,
        value: &impl Serialize,
        file_id: FileId,
    ) -> Result<Self> {
        let value = serde_json::to_vec(value)
            .map_err(|error| Error::internal("unwritable message").because(error))?;
        Self::new(event_id, topic, key, value.into(), file_id)
    }

    /// Returns the value that is published.
    pub fn value(&self) -> &Bytes {
        &self.value
    }
}

/// A message in the table.
#[derive(Debug)]
pub struct OutboxRow {
    pub id: i64,
    pub message: OutboxMessage,
}

/// Columns of an [`OutboxRow`].
#[derive(Queryable, Selectable)]
#[diesel(table_name = outbox, check_for_backend(diesel::pg::Pg))]
pub(in crate::db) struct OutboxColumns {
    id: i64,
    event_id: EventId,
    topic: String,
    record_key: Option<Vec<u8>>,
    value: Vec<u8>,
    file_id: IdColumn,
}

impl From<OutboxColumns> for OutboxRow {
    fn from(row: OutboxColumns) -> Self {
        let OutboxColumns { id, event_id, topic, record_key, value, file_id } = row;
        let message = OutboxMessage {
            event_id,
            topic: Cow::Owned(topic),
            key: record_key.map(Bytes::from),
            value: value.into(),
            file_id: file_id.into(),
        };
        Self { id, message }
    }
}

const INSERT: &str = "
WITH queued AS (
    INSERT INTO outbox (event_id, topic, record_key, value, file_id, retry_at)
    SELECT *, clock_timestamp() + $6 FROM UNNEST($1, $2, $3, $4, $5) AS o
    RETURNING id, event_id
)
SELECT COALESCE(array_agg(id), '{}') AS ids, COALESCE(array_agg(event_id), '{}') AS event_ids,
    pg_notify($7, $8)::text FROM queued";

/// Ids of inserted rows, in any order, each with the event id that identifies its message.
#[derive(QueryableByName)]
pub(in crate::db) struct Written {
    #[diesel(sql_type = Array<BigInt>)]
    ids: Vec<i64>,
    #[diesel(sql_type = Array<Uuid>)]
    event_ids: Vec<EventId>,
}

impl Written {
    /// Returns the rows of the messages.
    pub fn rows(self, messages: impl IntoIterator<Item = OutboxMessage>) -> Vec<OutboxRow> {
        let ids: HashMap<EventId, i64> = self.event_ids.into_iter().zip(self.ids).collect();
        let row = |message: OutboxMessage| Some(OutboxRow { id: *ids.get(&message.event_id)?, message });
        messages.into_iter().filter_map(row).collect()
    }
}

/// Inserts messages in the caller's transaction; its commit notifies listeners. During the `lease` no relay takes the rows from
/// the table: the caller hands them to the relay of its own process (`local_handoff`) once they have committed.
pub(in crate::db) async fn insert(
    mut conn: &AsyncPgConnection,
    messages: Vec<OutboxMessage>,
    lease: Option<Duration>,
) -> QueryResult<Vec<OutboxRow>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let all = || messages.iter();
    let insert = diesel::sql_query(INSERT)
        .bind::<Array<Uuid>, _>(all().map(|m| m.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(all().map(|m| &*m.topic).collect::<Vec<_>>())
        .bind::<Array<Nullable<Binary>>, _>(all().map(|m| m.key.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(all().map(|m| &*m.value).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(all().map(|m| m.file_id.0).collect::<Vec<_>>())
        .bind::<Nullable<Interval>, _>(lease.map(clock::interval))
        .bind::<Text, _>(listen::OUTBOX)
        .bind::<Text, _>(listen::payload(lease.is_some()));
    let written: Written = Prepared(insert).load_one(&mut conn).await?;
    Ok(written.rows(messages))
}
