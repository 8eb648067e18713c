//! New rows of `files`, with the first entry of their history, their messages and their idempotency keys.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Interval, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncConnection, AsyncPgConnection};

use super::Files;
use crate::db::columns::TimeColumn;
use crate::db::outbox::listen;
use crate::db::outbox::message::{OutboxMessage, Written};
use crate::db::retry::{Progress, retry};
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::db::{DbError, clock, idempotency_keys, limits};
use crate::domain::{Attempt, File, FileId, IdempotencyKey, Status, Timestamp};
use crate::faults;

/// A file about to be stored, and what is published once it is.
#[derive(Debug)]
pub struct NewFileRow {
    pub file: File,
    pub deadline_at: Timestamp,
    pub messages: Vec<OutboxMessage>,
    /// Idempotency key of the request.
    pub key: Option<IdempotencyKey>,
}

/// Ids that no other row has or will have, with the database's clock when they were taken.
#[derive(Debug)]
pub struct ReservedIds {
    pub ids: Vec<FileId>,
    now: Timestamp,
    taken: Instant,
}

impl ReservedIds {
    /// Returns the time since the ids were taken.
    pub fn age(&self) -> Duration {
        self.taken.elapsed()
    }

    /// By the database's clock.
    pub fn now(&self) -> Timestamp {
        self.now.plus(self.age())
    }
}

#[derive(QueryableByName)]
struct ReservedIdsRow {
    #[diesel(sql_type = Array<BigInt>)]
    next_ids: Vec<i64>,
    #[diesel(sql_type = Timestamptz)]
    now: TimeColumn,
}

impl From<ReservedIdsRow> for ReservedIds {
    fn from(row: ReservedIdsRow) -> Self {
        let ids = row.next_ids.into_iter().map(FileId).collect();
        Self { ids, now: row.now.into(), taken: Instant::now() }
    }
}

#[derive(QueryableByName)]
struct Inserted {
    #[diesel(embed)]
    written: Written,
    #[diesel(embed)]
    next: ReservedIdsRow,
}

const NEXT_IDS: &str =
    "SELECT ARRAY(SELECT nextval('files_id_seq') FROM generate_series(1, $1)) AS next_ids, now() AS now";

const INSERT: &str = "
WITH new AS (
    SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7)
        AS n (id, title, description, format, content_type, created_at, deadline_at)
), inserted_files AS (
    INSERT INTO files (id, title, description, status, format, content_type, attempt, created_at, updated_at, deadline_at)
    SELECT id, title, description, $8, format, content_type, $9, created_at, created_at, deadline_at FROM new
), inserted_transitions AS (
    INSERT INTO transitions (file_id, at, to_status, attempt) SELECT id, created_at, $8, $9 FROM new
), inserted_outbox AS (
    INSERT INTO outbox (event_id, topic, record_key, value, file_id, retry_at)
    SELECT *, clock_timestamp() + $15 FROM UNNEST($10, $11, $12, $13, $14)
    RETURNING id, event_id
)
SELECT COALESCE(array_agg(id), '{}') AS ids, COALESCE(array_agg(event_id), '{}') AS event_ids,
    pg_notify($16, $17)::text,
    ARRAY(SELECT nextval('files_id_seq') FROM generate_series(1, $18)) AS next_ids, clock_timestamp() AS now
FROM inserted_outbox";

impl Files<'_> {
    /// Takes ids for so many files, and tells the time.
    pub async fn reserve_ids(self, count: usize) -> Result<ReservedIds, DbError> {
        // Numbers that nobody got are left out.
        let next: Result<ReservedIdsRow, DbError> = retry!(
            Progress::of_transaction(),
            self.db.run_on(&self.db.intake, limits::WORK, async move |conn| {
                Prepared(diesel::sql_query(NEXT_IDS).bind::<BigInt, _>(bigint(count))).load_one(conn).await
            })
        );
        Ok(next?.into())
    }

    /// Stores all rows, each with its transition to `pending` and its messages, or none of them. Committed when
    /// this returns; listeners for the outbox are notified. A row whose key was taken in the last `kept` is left
    /// out; the answer in its place is the file of that key, as it is now. With them come ids for `more` files.
    pub async fn insert(
        self,
        rows: Vec<NewFileRow>,
        kept: Duration,
        more: usize,
    ) -> Result<(Vec<Option<File>>, ReservedIds), DbError> {
        // Decided before the transaction, as the rows are written with it: relays of other processes skip leased rows.
        let lease = self.db.handoff.lease();
        let all = &rows;
        let progress = &Progress::of_statement();
        let inserted = retry!(
            *progress,
            self.db.run_on(&self.db.intake, limits::WORK, async move |conn| {
                let rows = all;
                // Without keys one statement does it all, in one round trip and its own transaction.
                let (known, inserted) = if rows.iter().all(|row| row.key.is_none()) {
                    let inserted = insert(conn, &rows.iter().collect::<Vec<_>>(), lease, more).await?;
                    (rows.iter().map(|_| None).collect(), inserted)
                } else {
                    progress.begin();
                    conn.transaction::<_, diesel::result::Error, _>(async |conn| {
                        let known = insert_once(conn, rows, kept, lease, more).await?;
                        // A crash here leaves neither rows nor keys: nothing has committed.
                        faults::point!(ServeInserted);
                        progress.commit_sent();
                        Ok(known)
                    })
                    .await?
                };
                Ok((known, inserted))
            })
        );
        let (known, Inserted { written, next }) = inserted?;
        self.db.writes.succeeded();
        let written = written.rows(rows.into_iter().flat_map(|row| row.messages));
        // Counted before the caller is answered, so that its next read of a list sees the file.
        self.db.changes.record();
        if lease.is_some() {
            // Only now: a row that is published before its commit could announce a file that never exists.
            self.db.handoff.enqueue(written);
        }
        Ok((known, next.into()))
    }
}

/// Stores the rows; of several with one key the first.
async fn insert_once(
    conn: &mut AsyncPgConnection,
    rows: &[NewFileRow],
    kept: Duration,
    lease: Option<Duration>,
    more: usize,
) -> QueryResult<(Vec<Option<File>>, Inserted)> {
    let mut wanted = BTreeMap::new();
    for row in rows {
        if let Some(key) = &row.key {
            wanted.entry(key.as_ref()).or_insert(row.file.id);
        }
    }
    let taken = idempotency_keys::take(conn, &wanted, kept).await?;
    let is_new = |row: &&NewFileRow| {
        let Some(key) = &row.key else { return true };
        wanted.get(key.as_ref()) == Some(&row.file.id) && taken.iter().any(|taken| taken == key.as_ref())
    };
    let inserted = insert(conn, &rows.iter().filter(is_new).collect::<Vec<_>>(), lease, more).await?;
    let known = rows.iter().filter(|row| !is_new(row)).filter_map(|row| row.key.as_ref());
    let known = idempotency_keys::files_of(conn, known.map(AsRef::as_ref).collect()).await?;
    let answer =
        |row: &NewFileRow| row.key.as_ref().filter(|_| !is_new(&row)).and_then(|key| known.get(key.as_ref()));
    Ok((rows.iter().map(|row| answer(row).cloned()).collect(), inserted))
}

async fn insert(
    conn: &mut AsyncPgConnection,
    rows: &[&NewFileRow],
    lease: Option<Duration>,
    more: usize,
) -> QueryResult<Inserted> {
    let files = || rows.iter().map(|row| &row.file);
    let messages = || rows.iter().flat_map(|row| &row.messages);
    let insert = diesel::sql_query(INSERT)
        .bind::<Array<BigInt>, _>(files().map(|f| f.id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(files().map(|f| f.title.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(files().map(|f| f.description.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(files().map(|f| f.format.unwrap_or_default().name()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(files().map(|f| f.content_type.as_str()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(files().map(|f| f.created_at.as_datetime()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(rows.iter().map(|r| r.deadline_at.as_datetime()).collect::<Vec<_>>())
        .bind::<Text, _>(Status::Pending.name())
        .bind::<Integer, _>(Attempt::FIRST.0)
        .bind::<Array<Uuid>, _>(messages().map(|m| m.event_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(messages().map(|m| &*m.topic).collect::<Vec<_>>())
        .bind::<Array<Nullable<Binary>>, _>(messages().map(|m| m.key.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(messages().map(|m| &**m.value()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(messages().map(|m| m.file_id.0).collect::<Vec<_>>())
        .bind::<Nullable<Interval>, _>(lease.map(clock::interval))
        .bind::<Text, _>(listen::OUTBOX)
        .bind::<Text, _>(listen::payload(lease.is_some()))
        .bind::<BigInt, _>(bigint(more));
    Prepared(insert).load_one(conn).await
}

fn bigint(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
