//! Erasure: what a deleted file was about goes from every table; ids, times, size and digest stay.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::Files;
use crate::db::DbError;
use crate::db::columns::IdColumn;
use crate::db::schema::files;
use crate::db::statements::prepared::Prepared;
use crate::domain::FileId;
use crate::domain::files::file::ERASED;

/// Statement that erases texts everywhere but in messages on their way to Kafka. It skips dead letters that are being
/// resolved, to avoid a deadlock: the transaction that resolves one erases it.
const ERASE: &str = "
WITH rows AS (
    UPDATE files SET title = $2, description = NULL, s3_location = NULL, error = NULL,
        erased_at = COALESCE(erased_at, updated_at)
    WHERE id = ANY($1)
), history AS (
    UPDATE transitions SET worker = CASE WHEN worker IS NOT NULL THEN $2 END, error = CASE WHEN error IS NOT NULL THEN $2 END
    WHERE file_id = ANY($1) AND (worker IS NOT NULL OR error IS NOT NULL)
), parked AS (
    DELETE FROM outbox WHERE file_id = ANY($1) AND parked_at IS NOT NULL
), named AS (
    SELECT id FROM dead_letters WHERE file_id = ANY($1) FOR UPDATE SKIP LOCKED
)
UPDATE dead_letters SET value = NULL, error = $2, headers = '[]',
    settled_at = COALESCE(settled_at, now()), state = CASE state WHEN 'open' THEN 'discarded' ELSE state END
FROM named WHERE dead_letters.id = named.id";

/// Part of the caller's transaction, which has locked the files.
pub(in crate::db) async fn erase(mut conn: &AsyncPgConnection, ids: Vec<i64>) -> QueryResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let erase = diesel::sql_query(ERASE).bind::<Array<BigInt>, _>(ids).bind::<Text, _>(ERASED);
    Prepared(erase).execute(&mut conn).await?;
    Ok(())
}

const ERASE_DEAD_LETTERS: &str = "
UPDATE dead_letters SET value = NULL, error = $2, headers = '[]',
    settled_at = COALESCE(settled_at, now()), state = CASE state WHEN 'open' THEN 'discarded' ELSE state END
FROM files WHERE files.id = dead_letters.file_id AND files.erased_at IS NOT NULL AND dead_letters.id = ANY($1)";

/// Erases those of these dead letters whose file is erased. Part of the caller's transaction.
pub(in crate::db) async fn erase_dead_letters(
    conn: &mut AsyncPgConnection,
    ids: Vec<i64>,
) -> QueryResult<()> {
    let erase = diesel::sql_query(ERASE_DEAD_LETTERS).bind::<Array<BigInt>, _>(ids).bind::<Text, _>(ERASED);
    Prepared(erase).execute(conn).await?;
    Ok(())
}

impl Files<'_> {
    /// Erases up to `limit` deleted files that have not been erased. Returns how many.
    pub async fn erase_deleted(self, limit: i64) -> Result<usize, DbError> {
        self.db
            .run(async move |conn| {
                conn.transaction(async move |conn| {
                    let ids: Vec<IdColumn> = files::table
                    .select(files::id)
                    // As the partial index files_to_erase says it: with a parameter the planner could not use it.
                    .filter(sql::<Bool>("status = 'deleted' AND erased_at IS NULL"))
                    .order(files::id)
                    .limit(limit)
                    .for_update()
                    .skip_locked()
                    .load(conn)
                    .await?;
                    let ids: Vec<i64> = ids.into_iter().map(|id| FileId::from(id).0).collect();
                    let count = ids.len();
                    erase(conn, ids).await?;
                    Ok(count)
                })
                .await
            })
            .await
    }
}
