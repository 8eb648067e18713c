//! Moving files: lock the rows, let the caller judge, write row, history and messages in one transaction.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::schema::files;
use super::types::FileRow;
use super::{Db, DbError};
use crate::domain::status::State;
use crate::domain::{EventId, File, FileId, Status, Timestamp, Transition};

/// One applied move of one file.
#[derive(Debug)]
pub struct Change {
    pub id: FileId,
    pub state: State,
    /// What the row says afterwards.
    pub s3_location: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<String>,
    pub error: Option<String>,
    pub transition: Transition,
    pub message: Option<OutboxMessage>,
}

/// A record to publish, committed with the change that it announces.
#[derive(Debug)]
pub struct OutboxMessage {
    pub event_id: EventId,
    pub topic: &'static str,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

impl Db {
    /// Locks the files with these ids (absent ones are left out), hands them to `decide` in id order and writes the
    /// changes that it answers: several for one file are all in its history, the last one is its row. All or nothing.
    pub async fn move_files<R: Send>(
        &self,
        ids: Vec<FileId>,
        now: Timestamp,
        decide: impl FnOnce(Vec<File>) -> (Vec<Change>, R) + Send,
    ) -> Result<R, DbError> {
        let ids: Vec<i64> = ids.into_iter().map(|id| id.0).collect();
        self.run(async move |conn| {
            conn.transaction(async move |conn| {
                let rows: Vec<FileRow> = files::table
                    .select(FileRow::as_select())
                    .filter(files::id.eq_any(ids))
                    .order(files::id)
                    .for_update()
                    .load(conn)
                    .await?;
                let (changes, answer) = decide(rows.into_iter().map(File::from).collect());
                if !changes.is_empty() {
                    write(conn, changes, now).await?;
                }
                Ok(answer)
            })
            .await
        })
        .await
    }
}

const UPDATE: &str = "
WITH change AS (
    SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7)
        AS c (id, status, attempt, s3_location, size, sha256, error)
)
UPDATE files SET status = change.status, attempt = change.attempt, s3_location = change.s3_location,
    size = change.size, sha256 = change.sha256, error = change.error, updated_at = $8
FROM change WHERE files.id = change.id";

const HISTORY: &str = "
INSERT INTO transitions
    (file_id, from_status, to_status, attempt, worker, kafka_partition, kafka_offset, duration_ms, error, at)
SELECT t.*, $10 FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9) AS t";

const MESSAGES: &str = "
WITH queued AS (
    INSERT INTO outbox (event_id, topic, record_key, value, file_id)
    SELECT * FROM UNNEST($1, $2, $3, $4, $5) AS o
)
SELECT pg_notify($6, '')";

async fn write(conn: &mut AsyncPgConnection, changes: Vec<Change>, now: Timestamp) -> QueryResult<()> {
    update_rows(conn, &changes, now).await?;
    insert_history(conn, &changes, now).await?;
    let messages: Vec<(FileId, OutboxMessage)> =
        changes.into_iter().filter_map(|change| Some((change.id, change.message?))).collect();
    if !messages.is_empty() {
        insert_messages(conn, messages).await?;
    }
    Ok(())
}

async fn update_rows(conn: &mut AsyncPgConnection, changes: &[Change], now: Timestamp) -> QueryResult<()> {
    // The last change of each file is its row: an UPDATE joined to two lines of one id would pick either.
    let last: std::collections::BTreeMap<i64, &Change> =
        changes.iter().map(|change| (change.id.0, change)).collect();
    let rows = || last.values();
    diesel::sql_query(UPDATE)
        .bind::<Array<BigInt>, _>(last.keys().copied().collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows().map(|c| c.state.status.name()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(rows().map(|c| c.state.attempt.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|c| c.s3_location.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(rows().map(|c| c.size).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|c| c.sha256.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|c| c.error.as_deref()).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now.as_datetime())
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_history(conn: &mut AsyncPgConnection, changes: &[Change], now: Timestamp) -> QueryResult<()> {
    let lines = || changes.iter().map(|change| &change.transition);
    diesel::sql_query(HISTORY)
        .bind::<Array<BigInt>, _>(changes.iter().map(|c| c.id.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.from.map(Status::name)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(lines().map(|t| t.to.name()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(lines().map(|t| t.attempt.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.worker.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(lines().map(|t| t.partition).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(lines().map(|t| t.offset).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(lines().map(|t| t.duration_ms).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.error.as_deref()).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now.as_datetime())
        .execute(conn)
        .await?;
    Ok(())
}

async fn insert_messages(
    conn: &mut AsyncPgConnection,
    messages: Vec<(FileId, OutboxMessage)>,
) -> QueryResult<()> {
    let all = || messages.iter().map(|(_, message)| message);
    diesel::sql_query(MESSAGES)
        .bind::<Array<Uuid>, _>(all().map(|m| m.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(all().map(|m| m.topic).collect::<Vec<_>>())
        .bind::<Array<Nullable<Binary>>, _>(all().map(|m| m.key.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(all().map(|m| m.value.as_slice()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(messages.iter().map(|(id, _)| id.0).collect::<Vec<_>>())
        .bind::<Text, _>(super::listen::OUTBOX)
        .execute(conn)
        .await?;
    Ok(())
}
