//! Table `object_removals`: objects to remove, each with its file locked, several takers at once.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::schema::{files, object_removals};
use super::types::FileRow;
use super::{Db, DbError, limits};
use crate::domain::{File, FileId, Timestamp};

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = object_removals, check_for_backend(diesel::pg::Pg))]
struct RemovalRow {
    id: i64,
    file_id: i64,
    key: String,
}

/// An object to remove, and its file as it is now.
#[derive(Debug)]
pub struct Removal {
    pub key: String,
    pub file: File,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is left to do.
    Done,
    /// Not now; look again after this long.
    Later(Duration),
}

/// Part of the caller's transaction.
pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    removals: Vec<(FileId, String)>,
    now: Timestamp,
) -> QueryResult<()> {
    if removals.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = removals
        .into_iter()
        .map(|(file_id, key)| {
            (
                object_removals::file_id.eq(file_id.0),
                object_removals::key.eq(key),
                object_removals::retry_at.eq(now.as_datetime()),
            )
        })
        .collect();
    diesel::insert_into(object_removals::table).values(rows).execute(conn).await?;
    Ok(())
}

impl Db {
    /// Takes up to `limit` due removals that nobody else holds, locks their files, so that no move comes in between,
    /// and hands them to `remove`, which answers one fate each, in order. Returns how many were taken.
    pub async fn take_removals<F>(
        &self,
        limit: i64,
        now: Timestamp,
        remove: impl FnOnce(Vec<Removal>) -> F + Send,
    ) -> Result<usize, DbError>
    where
        F: Future<Output = Vec<Settled>> + Send,
    {
        self.run_within(limits::RELAY, async move |conn| {
            conn.transaction(async move |conn| {
                let due: Vec<RemovalRow> = object_removals::table
                    .select(RemovalRow::as_select())
                    .filter(object_removals::retry_at.le(now.as_datetime()))
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
                        Some((row.id, Removal { key: row.key, file }))
                    })
                    .unzip();
                let taken = ids.len();
                settle(conn, ids.into_iter().zip(remove(removals).await), now).await?;
                Ok(taken)
            })
            .await
        })
        .await
    }

    /// Objects still to be removed.
    pub async fn removals_left(&self) -> Result<i64, DbError> {
        self.run(async |conn| object_removals::table.count().get_result(conn).await).await
    }
}

async fn settle(
    conn: &mut AsyncPgConnection,
    fates: impl Iterator<Item = (i64, Settled)>,
    now: Timestamp,
) -> QueryResult<()> {
    let mut done = Vec::new();
    for (id, fate) in fates {
        match fate {
            Settled::Done => done.push(id),
            Settled::Later(wait) => {
                diesel::update(object_removals::table.find(id))
                    .set(object_removals::retry_at.eq(now.plus(wait).as_datetime()))
                    .execute(conn)
                    .await?;
            }
        }
    }
    diesel::delete(object_removals::table.filter(object_removals::id.eq_any(done))).execute(conn).await?;
    Ok(())
}
