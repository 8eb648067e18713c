//! Table `dead_letters`: keep what is read from the topic, list it, settle one with all that follows from it.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Binary, Integer, Nullable};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value as Json;
use uuid::Uuid;

use super::DeadLetters;
use crate::db::columns::{
    AttemptColumn, DeadLetterIdColumn, DeadLetterStateColumn, FileRow, IdColumn, TimeColumn,
};
use crate::db::files::erase;
use crate::db::files::transition::{self, Change};
use crate::db::outbox::message::{self, OutboxMessage};
use crate::db::retry::{Progress, retry, retry_read};
use crate::db::schema::{dead_letters, files};
use crate::db::statements::load_one::LoadOne;
use crate::db::{DbError, clock};
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::{
    Attempt, DeadLetter, DeadLetterHeader, DeadLetterId, DeadLetterPage, DeadLetterPageRequest,
    DeadLetterState, File, FileId, Origin, Timestamp,
};

/// Bytes of each key and value that a list shows.
const BEGINNING: i32 = 1000;

/// A record of the topic, without U+0000 in its texts, which PostgreSQL does not store.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// Two with the same one are the same dead letter.
    pub letter_id: Uuid,
    pub partition: i32,
    pub offset: i64,
    pub origin: Option<Origin>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<DeadLetterHeader>,
    pub file_id: Option<FileId>,
    pub attempt: Option<Attempt>,
    pub error: String,
}

/// Resolution of a dead letter; all of it is committed together.
#[derive(Debug)]
pub struct Resolution {
    pub state: DeadLetterState,
    /// Change of its file.
    pub change: Option<Change>,
    pub message: Option<OutboxMessage>,
}

#[derive(Queryable)]
struct DeadLetterRow {
    id: DeadLetterIdColumn,
    kafka_partition: i32,
    kafka_offset: i64,
    original_topic: Option<String>,
    original_partition: Option<i32>,
    original_offset: Option<i64>,
    record_key: Option<Vec<u8>>,
    headers: Json,
    file_id: Option<IdColumn>,
    attempt: Option<AttemptColumn>,
    error: String,
    state: DeadLetterStateColumn,
    received_at: TimeColumn,
    settled_at: Option<TimeColumn>,
    size: Option<i32>,
    value: Option<Vec<u8>>,
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        let origin = (row.original_topic, row.original_partition, row.original_offset);
        let size = row.size.map(i64::from);
        let is_cut = |value: &Vec<u8>| size != i64::try_from(value.len()).ok();
        let header_list = headers(row.headers);
        let text = |header: &DeadLetterHeader| header.as_text().unwrap_or_default().into_owned();
        Self {
            id: row.id.into(),
            state: row.state.into(),
            error: row.error,
            file_id: row.file_id.map(FileId::from),
            attempt: row.attempt.map(Attempt::from),
            origin: match origin {
                (Some(topic), Some(partition), Some(offset)) => Some(Origin { topic, partition, offset }),
                _ => None,
            },
            partition: row.kafka_partition,
            offset: row.kafka_offset,
            key: row.record_key,
            headers: header_list.iter().map(|header| (header.name.clone(), text(header))).collect(),
            header_list,
            size,
            value: row.value.map(|value| {
                let is_cut = is_cut(&value);
                Value::of(value, is_cut)
            }),
            received_at: row.received_at.into(),
            settled_at: row.settled_at.map(Timestamp::from),
        }
    }
}

/// Rows of earlier versions have an object, of text alone.
fn headers(json: Json) -> Vec<DeadLetterHeader> {
    if let Json::Object(members) = json {
        let header = |(name, value): (String, Json)| DeadLetterHeader {
            name,
            value: value.as_str().map(str::to_owned),
            value_base64: None,
        };
        return members.into_iter().map(header).collect();
    }
    serde_json::from_value(json).unwrap_or_default()
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn octet_length(bytes: Nullable<Binary>) -> Nullable<Integer>;
    /// From the byte `first` on, counted from 1.
    fn substr(bytes: Nullable<Binary>, first: Integer, count: Integer) -> Nullable<Binary>;
}

/// A [`DeadLetterRow`], with so many bytes of key and value.
#[diesel::dsl::auto_type]
fn columns(first: i32, count: i32) -> _ {
    (
        dead_letters::id,
        dead_letters::kafka_partition,
        dead_letters::kafka_offset,
        dead_letters::original_topic,
        dead_letters::original_partition,
        dead_letters::original_offset,
        substr(dead_letters::record_key, first, count),
        dead_letters::headers,
        dead_letters::file_id,
        dead_letters::attempt,
        dead_letters::error,
        dead_letters::state,
        dead_letters::received_at,
        dead_letters::settled_at,
        octet_length(dead_letters::value),
        substr(dead_letters::value, first, count),
    )
}

const REMOVE_RESOLVED: &str = "
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE state <> 'open' AND settled_at < now() - $1
    ORDER BY settled_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)";

impl DeadLetters<'_> {
    /// Deletes up to `limit` dead letters that were settled longer ago than `kept`. Returns how many.
    pub async fn remove_resolved(self, kept: Duration, limit: i64) -> Result<usize, DbError> {
        self.db.delete_batch(REMOVE_RESOLVED, kept, limit).await
    }

    /// Keeps those that are not kept yet, all of them or none. Returns how many were new.
    pub async fn store(self, dead_letters: Vec<NewDeadLetter>) -> Result<usize, DbError> {
        let row = |dead_letter: NewDeadLetter| {
            let (topic, partition, offset) = match dead_letter.origin {
                Some(Origin { topic, partition, offset }) => (Some(topic), Some(partition), Some(offset)),
                None => (None, None, None),
            };
            (
                dead_letters::letter_id.eq(dead_letter.letter_id),
                dead_letters::kafka_partition.eq(dead_letter.partition),
                dead_letters::kafka_offset.eq(dead_letter.offset),
                dead_letters::original_topic.eq(topic),
                dead_letters::original_partition.eq(partition),
                dead_letters::original_offset.eq(offset),
                dead_letters::record_key.eq(dead_letter.key),
                dead_letters::value.eq(dead_letter.value),
                dead_letters::headers.eq(serde_json::json!(dead_letter.headers)),
                dead_letters::file_id.eq(dead_letter.file_id.map(|id| id.0)),
                dead_letters::attempt.eq(dead_letter.attempt.map(|attempt| attempt.0)),
                dead_letters::error.eq(dead_letter.error),
                dead_letters::received_at.eq(diesel::dsl::now),
            )
        };
        let rows: Vec<_> = dead_letters.into_iter().map(row).collect();
        self.db
            .run(async move |conn| {
                conn.transaction(async move |conn| {
                    let new: Vec<i64> = diesel::insert_into(dead_letters::table)
                        .values(rows)
                        .on_conflict(dead_letters::letter_id)
                        .do_nothing()
                        .returning(dead_letters::id)
                        .get_results(conn)
                        .await?;
                    let count = new.len();
                    // One may come after the deletion of the file that it names.
                    erase::erase_dead_letters(conn, new).await?;
                    Ok(count)
                })
                .await
            })
            .await
    }

    /// Newest first, with the beginnings of their values.
    pub async fn list(self, request: &DeadLetterPageRequest) -> Result<DeadLetterPage, DbError> {
        let query = || {
            let mut query = dead_letters::table
                .select(columns(1, BEGINNING))
                .order(dead_letters::id.desc())
                .limit(request.limit + 1)
                .into_boxed();
            if let Some(state) = request.state {
                query = query.filter(dead_letters::state.eq(state.name()));
            }
            if let Some(file_id) = request.file_id {
                query = query.filter(dead_letters::file_id.eq(file_id.0));
            }
            if let Some(cursor) = request.cursor {
                query = query.filter(dead_letters::id.lt(cursor.before.0));
            }
            query
        };
        let rows: Vec<DeadLetterRow> = retry_read!({
            let query = query();
            self.db.run(async move |conn| query.load(conn).await)
        })?;
        let dead_letters = rows.into_iter().map(DeadLetter::from);
        Ok(DeadLetterPage::of(dead_letters, usize::try_from(request.limit).unwrap_or(usize::MAX)))
    }

    /// Reads one dead letter, with its whole value.
    pub async fn get(self, id: DeadLetterId) -> Result<Option<DeadLetter>, DbError> {
        let row: Option<DeadLetterRow> = retry_read!(self.db.run(async move |conn| {
            dead_letters::table.find(id.0).select(columns(1, i32::MAX)).load_one(conn).await.optional()
        }))?;
        Ok(row.map(DeadLetter::from))
    }

    /// Oldest first.
    pub async fn open_ids(self) -> Result<Vec<DeadLetterId>, DbError> {
        let rows: Vec<DeadLetterIdColumn> = self
            .db
            .run(async |conn| {
                dead_letters::table
                    .select(dead_letters::id)
                    .filter(dead_letters::state.eq(DeadLetterState::Open.name()))
                    .order(dead_letters::id)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(DeadLetterId::from).collect())
    }

    /// Counts the dead letters that are neither replayed nor discarded.
    pub async fn count_open(self) -> Result<i64, DbError> {
        let open = dead_letters::table.filter(dead_letters::state.eq(DeadLetterState::Open.name())).count();
        self.db.run(async move |conn| open.load_one(conn).await).await
    }

    /// Tells whether one of the open ones names the file.
    pub async fn has_open(self, file_id: FileId) -> Result<bool, DbError> {
        let open = dead_letters::table
            .filter(dead_letters::file_id.eq(file_id.0))
            .filter(dead_letters::state.eq(DeadLetterState::Open.name()));
        self.db.run(async move |conn| diesel::select(diesel::dsl::exists(open)).load_one(conn).await).await
    }

    /// Locks the dead letter and the file that it names, hands them to `decide` with the time and writes what it
    /// answers. All or nothing; `None` when there is no such dead letter.
    pub async fn resolve<R: Send>(
        self,
        id: DeadLetterId,
        decide: impl Fn(DeadLetter, Option<File>, Timestamp) -> (Option<Resolution>, R) + Send + Sync,
    ) -> Result<Option<R>, DbError> {
        let decide = &decide;
        let progress = &Progress::of_transaction();
        let resolved = retry!(
            *progress,
            self.db.run(async move |conn| {
                progress.begin();
                conn.transaction(async move |conn| {
                    let dead_letter: Option<DeadLetterRow> = dead_letters::table
                        .find(id.0)
                        .select(columns(1, i32::MAX))
                        .for_update()
                        .load_one(conn)
                        .await
                        .optional()?;
                    let Some(dead_letter) = dead_letter.map(DeadLetter::from) else { return Ok(None) };
                    let file = match dead_letter.file_id {
                        Some(file_id) => lock_file(conn, file_id).await?,
                        None => None,
                    };
                    // The erasure of the file skipped this row while it was locked: it is caught up on here.
                    if file.as_ref().is_some_and(|file| file.erased_at.is_some()) {
                        erase::erase_dead_letters(conn, vec![id.0]).await?;
                    }
                    let now = clock::now(conn).await?;
                    // Decided under both locks. An erasure locks the file first and skips locked dead letters, which avoids a deadlock.
                    let (resolution, answer) = decide(dead_letter, file, now);
                    if let Some(resolution) = resolution {
                        write(conn, id, resolution, now).await?;
                    }
                    progress.commit_sent();
                    Ok(Some(answer))
                })
                .await
            })
        );
        let answer = resolved?;
        self.db.changes.record();
        Ok(answer)
    }
}

async fn lock_file(conn: &mut AsyncPgConnection, id: FileId) -> QueryResult<Option<File>> {
    let row: Option<FileRow> =
        files::table.find(id.0).select(FileRow::as_select()).for_update().load_one(conn).await.optional()?;
    Ok(row.map(File::from))
}

async fn write(
    conn: &mut AsyncPgConnection,
    id: DeadLetterId,
    Resolution { state, change, message }: Resolution,
    now: Timestamp,
) -> QueryResult<()> {
    diesel::update(dead_letters::table.find(id.0))
        .set((dead_letters::state.eq(state.name()), dead_letters::settled_at.eq(now.as_datetime())))
        .execute(conn)
        .await?;
    if let Some(change) = change {
        transition::write(conn, vec![change], now, None).await?;
    }
    message::insert(conn, message.into_iter().collect(), None).await?;
    Ok(())
}
