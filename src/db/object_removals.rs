//! Table `object_removals`: objects to remove, each with its file locked, several takers at once.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::columns::{FileRow, IdColumn, TimeColumn};
use super::schema::{files, object_removals};
use super::statements::load_one::LoadOne;
use super::{Db, DbError, clock, limits};
use crate::domain::{File, FileId, Status, Timestamp};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = object_removals, check_for_backend(diesel::pg::Pg))]
struct RemovalRow {
    id: i64,
    file_id: i64,
    key: String,
    s3_upload_id: Option<String>,
}

/// An object to remove, and its file as it is now.
#[derive(Debug)]
pub struct Removal {
    pub key: String,
    /// Multipart upload of that key to abort as well; an empty text for all of that key.
    pub s3_upload_id: Option<String>,
    pub file: File,
}

/// Outcome of one removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalOutcome {
    /// Nothing is left to do.
    Done,
    /// Not now; look again after this long.
    Later(Duration),
}

/// Removal that no process has carried out, although its file is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueRemoval {
    pub id: i64,
    pub file_id: FileId,
    pub key: String,
    pub asked_at: Timestamp,
}

/// Part of the caller's transaction. Each is due at once.
pub(super) async fn insert(conn: &mut AsyncPgConnection, removals: Vec<(FileId, String)>) -> QueryResult<()> {
    if removals.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = removals
        .into_iter()
        .map(|(file_id, key)| {
            (
                object_removals::file_id.eq(file_id.0),
                object_removals::key.eq(key),
                object_removals::retry_at.eq(diesel::dsl::now),
            )
        })
        .collect();
    diesel::insert_into(object_removals::table).values(rows).execute(conn).await?;
    Ok(())
}

/// Inserts removals in the caller's transaction. None is due before [`ObjectRemovals::release_potential_orphans`] releases it.
pub(super) async fn insert_potential_orphans(
    conn: &mut AsyncPgConnection,
    potential_orphans: Vec<(FileId, String)>,
) -> QueryResult<()> {
    if potential_orphans.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = potential_orphans
        .into_iter()
        .map(|(file_id, key)| {
            (
                object_removals::file_id.eq(file_id.0),
                object_removals::key.eq(key),
                object_removals::retry_at.eq(never()),
            )
        })
        .collect();
    diesel::insert_into(object_removals::table).values(rows).execute(conn).await?;
    Ok(())
}

fn never() -> SqlLiteral<Timestamptz> {
    diesel::dsl::sql("'infinity'::timestamptz")
}

/// Statements about objects that are to be removed.
#[derive(Clone, Copy)]
pub struct ObjectRemovals<'a> {
    pub(super) db: &'a Db,
}

impl ObjectRemovals<'_> {
    /// Reads the potential orphans that are not released yet and whose file has no request (on `topic`) in the outbox that is still to
    /// be published, in order.
    pub async fn potential_orphans(self, topic: &'static str, limit: i64) -> Result<Vec<i64>, DbError> {
        use super::schema::outbox;
        self.db
            .run(async move |conn| {
                object_removals::table
                    .select(object_removals::id)
                    .filter(object_removals::retry_at.eq(never()))
                    .filter(diesel::dsl::not(diesel::dsl::exists(
                        outbox::table
                            .filter(outbox::file_id.eq(object_removals::file_id).and(outbox::topic.eq(topic)))
                            .filter(outbox::parked_at.is_null()),
                    )))
                    .order(object_removals::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await
    }

    /// Makes them due now: no worker can still store their objects.
    pub async fn release_potential_orphans(self, ids: Vec<i64>) -> Result<usize, DbError> {
        self.db
            .run(async move |conn| {
                diesel::update(object_removals::table.filter(object_removals::id.eq_any(ids)))
                    .filter(object_removals::retry_at.eq(never()))
                    .set(object_removals::retry_at.eq(diesel::dsl::now))
                    .execute(conn)
                    .await
            })
            .await
    }

    /// Takes up to `limit` due removals that no other process holds, locks their files, so that no transition comes in
    /// between, and hands them to `remove`, which returns one outcome for each, in order. Returns the number taken.
    pub async fn process<F>(
        self,
        limit: i64,
        remove: impl FnOnce(Vec<Removal>) -> F + Send,
    ) -> Result<usize, DbError>
    where
        F: Future<Output = Vec<RemovalOutcome>> + Send,
    {
        self.db
            .run_on(&self.db.pool, limits::RELAY, async move |conn| {
                conn.transaction(async move |conn| {
                    let due: Vec<RemovalRow> = object_removals::table
                        .select(RemovalRow::as_select())
                        .filter(object_removals::retry_at.le(diesel::dsl::now))
                        .order((object_removals::retry_at, object_removals::id))
                        .limit(limit)
                        .for_update()
                        .skip_locked()
                        .load(conn)
                        .await?;
                    if due.is_empty() {
                        return Ok(0);
                    }
                    let rows: Vec<FileRow> = files::table
                        .select(FileRow::as_select())
                        .filter(files::id.eq_any(due.iter().map(|row| row.file_id)))
                        .order(files::id)
                        .for_update()
                        .load(conn)
                        .await?;
                    let files: BTreeMap<i64, File> =
                        rows.into_iter().map(File::from).map(|file| (file.id.0, file)).collect();
                    let (ids, removals): (Vec<i64>, Vec<Removal>) = due
                    .into_iter()
                    // The foreign key keeps every file there.
                    .filter_map(|row| {
                        let file = files.get(&row.file_id)?.clone();
                        Some((row.id, Removal { key: row.key, s3_upload_id: row.s3_upload_id, file }))
                    })
                    .unzip();
                    let taken = ids.len();
                    apply(conn, ids.into_iter().zip(remove(removals).await)).await?;
                    Ok(taken)
                })
                .await
            })
            .await
    }

    /// Keys that are to be removed, of these files.
    pub async fn queued_for(self, ids: Vec<FileId>) -> Result<Vec<(FileId, String)>, DbError> {
        let ids: Vec<i64> = ids.into_iter().map(|id| id.0).collect();
        let rows: Vec<(IdColumn, String)> = self
            .db
            .run(async move |conn| {
                object_removals::table
                    .select((object_removals::file_id, object_removals::key))
                    .filter(object_removals::file_id.eq_any(ids))
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(|(id, key)| (id.into(), key)).collect())
    }

    /// Removals above `after` that were asked for before `before` and whose file is finished, in order; no potential orphans.
    pub async fn overdue(
        self,
        before: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<OverdueRemoval>, DbError> {
        let unfinished = [Status::Pending.name(), Status::Uploading.name(), Status::Processing.name()];
        let rows: Vec<(i64, IdColumn, String, TimeColumn)> = self
            .db
            .run(async move |conn| {
                object_removals::table
                    .inner_join(files::table)
                    .select((
                        object_removals::id,
                        object_removals::file_id,
                        object_removals::key,
                        object_removals::created_at,
                    ))
                    .filter(object_removals::created_at.lt(before.as_datetime()))
                    .filter(object_removals::retry_at.lt(never()))
                    .filter(object_removals::id.gt(after))
                    .filter(diesel::dsl::not(files::status.eq_any(unfinished)))
                    .order(object_removals::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        let removal = |(id, file_id, key, asked_at): (i64, IdColumn, String, TimeColumn)| OverdueRemoval {
            id,
            file_id: file_id.into(),
            key,
            asked_at: asked_at.into(),
        };
        Ok(rows.into_iter().map(removal).collect())
    }

    /// It was carried out, or there is nothing to remove.
    pub async fn remove(self, id: i64) -> Result<(), DbError> {
        self.db
            .run(async move |conn| diesel::delete(object_removals::table.find(id)).execute(conn).await)
            .await?;
        Ok(())
    }

    /// Objects still to be removed, without potential orphans.
    pub async fn count(self) -> Result<i64, DbError> {
        let left = object_removals::table.filter(object_removals::retry_at.lt(never()));
        self.db.run(async |conn| left.count().load_one(conn).await).await
    }
}

async fn apply(
    conn: &mut AsyncPgConnection,
    outcomes: impl Iterator<Item = (i64, RemovalOutcome)>,
) -> QueryResult<()> {
    let mut done = Vec::new();
    for (id, outcome) in outcomes {
        match outcome {
            RemovalOutcome::Done => done.push(id),
            RemovalOutcome::Later(wait) => {
                diesel::update(object_removals::table.find(id))
                    .set(object_removals::retry_at.eq(clock::from_now(wait)))
                    .execute(conn)
                    .await?;
            }
        }
    }
    diesel::delete(object_removals::table.filter(object_removals::id.eq_any(done))).execute(conn).await?;
    Ok(())
}
