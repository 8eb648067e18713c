//! Moving files: lock the rows, let the caller evaluate, write row, history and messages in one transaction.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::Files;
use super::erase;
use crate::db::columns::{FileRow, TimeColumn};
use crate::db::object_removals;
use crate::db::outbox::message::{self, OutboxMessage, OutboxRow};
use crate::db::retry::{Progress, retry};
use crate::db::schema::files;
use crate::db::statements::prepared::Prepared;
use crate::db::{DbError, clock, uploads};
use crate::domain::{File, FileId, HistoryEntry, Status, Timestamp};
use crate::faults;

/// Applied transition of one file.
#[derive(Debug)]
pub struct Change {
    /// The row afterwards.
    pub file: File,
    /// A new one; `None` keeps the old one.
    pub deadline_at: Option<Timestamp>,
    pub transition: HistoryEntry,
    pub messages: Vec<OutboxMessage>,
    /// The key that a worker may still store under, or have stored under, although the file has ended without.
    pub potential_orphan: Option<String>,
    /// Erase the texts of the file from every table.
    pub erases: bool,
}

/// Writes for the files that were locked.
#[derive(Debug, Default)]
pub struct Transitions {
    /// Several for one file are all in its history; the last one is its row.
    pub changes: Vec<Change>,
    /// Keys of objects that may have no row any more.
    pub removals: Vec<(FileId, String)>,
}

impl Files<'_> {
    /// Locks the files with these ids (absent ones are left out), hands them to `decide` in id order, with the time,
    /// and writes what it answers. All or nothing; `decide` is asked again when others came in between.
    pub async fn transition<R: Send>(
        self,
        ids: Vec<FileId>,
        decide: impl Fn(Vec<File>, Timestamp) -> (Transitions, R) + Send + Sync,
    ) -> Result<R, DbError> {
        let ids: Vec<i64> = ids.into_iter().map(|id| id.0).collect();
        let lease = self.db.handoff.lease();
        let (ids, decide) = (&ids, &decide);
        let progress = &Progress::of_transaction();
        let outcome = retry!(
            *progress,
            self.db.run(async move |conn| {
                progress.begin();
                conn.transaction(async move |conn| {
                    let rows: Vec<(FileRow, TimeColumn)> = files::table
                        .select((FileRow::as_select(), diesel::dsl::now.into_sql::<Timestamptz>()))
                        .filter(files::id.eq_any(ids))
                        // In the order of ids, so that two transactions with files in common never deadlock.
                        .order(files::id)
                        .for_update()
                        .load(conn)
                        .await?;
                    let (files, times): (Vec<File>, Vec<Timestamp>) =
                        rows.into_iter().map(|(row, at)| (File::from(row), Timestamp::from(at))).unzip();
                    // The same for all of them: when this transaction began.
                    let now = match times.as_slice() {
                        [now, ..] => *now,
                        [] => clock::now(conn).await?,
                    };
                    let (Transitions { changes, removals }, answer) = decide(files, now);
                    // In the same transaction: a crash must not leave an object without a row and without a removal.
                    object_removals::insert(conn, removals).await?;
                    let mut written = Vec::new();
                    if !changes.is_empty() {
                        written = write(conn, changes, now, lease).await?;
                        faults::point!(TransitionsWritten);
                    }
                    // From here on a broken connection leaves open whether the transaction committed, so it is not repeated.
                    progress.commit_sent();
                    Ok((written, answer))
                })
                .await
            })
        );
        let (written, answer) = outcome?;
        self.db.changes.record();
        if lease.is_some() {
            self.db.handoff.enqueue(written);
        }
        Ok(answer)
    }
}

const UPDATE: &str = "
WITH change AS (
    SELECT * FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9)
        AS c (id, status, attempt, s3_location, size, sha256, error, sequence, deadline_at)
)
UPDATE files SET status = change.status, attempt = change.attempt, s3_location = change.s3_location,
    size = change.size, sha256 = change.sha256, error = change.error, sequence = change.sequence,
    deadline_at = COALESCE(change.deadline_at, files.deadline_at), updated_at = $10
FROM change WHERE files.id = change.id";

const HISTORY: &str = "
INSERT INTO transitions
    (file_id, from_status, to_status, attempt, worker, kafka_partition, kafka_offset, duration_ms, error, at)
SELECT t.*, $10 FROM UNNEST($1, $2, $3, $4, $5, $6, $7, $8, $9) AS t";

/// Part of the caller's transaction, which has locked the files. The statements go to PostgreSQL together.
pub(in crate::db) async fn write(
    conn: &mut AsyncPgConnection,
    mut changes: Vec<Change>,
    now: Timestamp,
    lease: Option<Duration>,
) -> QueryResult<Vec<OutboxRow>> {
    let potential_orphan = |change: &mut Change| Some((change.file.id, change.potential_orphan.take()?));
    object_removals::insert_potential_orphans(
        conn,
        changes.iter_mut().filter_map(potential_orphan).collect(),
    )
    .await?;
    let messages = changes.iter_mut().flat_map(|change| std::mem::take(&mut change.messages)).collect();
    let conn = &*conn;
    let (updated, told, ended, written) = futures_util::join!(
        update_rows(conn, &changes, now),
        insert_history(conn, &changes, now),
        uploads::end::end(conn, ended_uploads(&changes)),
        message::insert(conn, messages, lease)
    );
    updated.and(told).and(ended)?;
    let written = written?;
    let erased = changes.iter().filter(|change| change.erases).map(|change| change.file.id.0);
    erase::erase(conn, erased.collect()).await?;
    Ok(written)
}

/// Returns the uploads that the changes end, and whether each has an object now.
fn ended_uploads(changes: &[Change]) -> Vec<(FileId, bool)> {
    let ended = changes.iter().filter(|change| change.transition.from == Some(Status::Uploading));
    ended.map(|change| (change.file.id, change.transition.to == Status::Completed)).collect()
}

async fn update_rows(mut conn: &AsyncPgConnection, changes: &[Change], now: Timestamp) -> QueryResult<()> {
    // The last change of each file is its row: an UPDATE joined to two lines of one id would pick either.
    let last: std::collections::BTreeMap<i64, &Change> =
        changes.iter().map(|change| (change.file.id.0, change)).collect();
    let rows = || last.values().map(|change| &change.file);
    let deadlines = last.values().map(|change| change.deadline_at.map(Timestamp::as_datetime));
    let update = diesel::sql_query(UPDATE)
        .bind::<Array<BigInt>, _>(last.keys().copied().collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows().map(|f| f.status.name()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(rows().map(|f| f.attempt.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|f| f.s3_location.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(rows().map(|f| f.size).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|f| f.sha256.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows().map(|f| f.error.as_deref()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows().map(|f| f.sequence).collect::<Vec<_>>())
        .bind::<Array<Nullable<Timestamptz>>, _>(deadlines.collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now.as_datetime());
    Prepared(update).execute(&mut conn).await?;
    Ok(())
}

async fn insert_history(mut conn: &AsyncPgConnection, changes: &[Change], now: Timestamp) -> QueryResult<()> {
    let lines = || changes.iter().map(|change| &change.transition);
    let insert = diesel::sql_query(HISTORY)
        .bind::<Array<BigInt>, _>(changes.iter().map(|c| c.file.id.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.from.map(Status::name)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(lines().map(|t| t.to.name()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(lines().map(|t| t.attempt.0).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.worker.as_deref()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(lines().map(|t| t.partition).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(lines().map(|t| t.offset).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(lines().map(|t| t.duration_ms).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(lines().map(|t| t.error.as_deref()).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now.as_datetime());
    Prepared(insert).execute(&mut conn).await?;
    Ok(())
}
