//! Retention of files: remove rows and histories that are old enough, one batch in each transaction.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Interval, Nullable};

use super::Files;
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::db::{DbError, clock};
use crate::domain::FileId;

/// A row whose object may still be there stays: the removal needs it.
const REMOVE_DELETED: &str = "
DELETE FROM files WHERE id IN (
    SELECT id FROM files WHERE status = 'deleted' AND updated_at < now() - $1
        AND NOT EXISTS (SELECT FROM object_removals WHERE object_removals.file_id = files.id)
    ORDER BY updated_at, id LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Looks at the lines of the files with the lowest ids first. Files get ids in the order of their creation, so behind one
/// that was created after the limit nothing is old.
const REMOVE_HISTORY: &str = "
WITH seen AS (
    SELECT DISTINCT file_id FROM (
        SELECT file_id FROM transitions WHERE file_id > $1 ORDER BY file_id, id LIMIT $2) AS lines
), known AS (
    SELECT seen.file_id, files.created_at < now() - $3 AS is_old,
        files.updated_at < now() - $3 AND files.status NOT IN ('pending', 'processing') AS is_over
    FROM seen JOIN files ON files.id = seen.file_id
), forgotten AS (
    DELETE FROM transitions USING known WHERE transitions.file_id = known.file_id AND known.is_over RETURNING 1
)
SELECT (SELECT max(file_id) FROM seen) AS last, COALESCE((SELECT bool_and(is_old) FROM known), true) AS all_old,
    (SELECT count(*) FROM forgotten) AS lines";

#[derive(QueryableByName)]
struct Seen {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = Bool)]
    all_old: bool,
    #[diesel(sql_type = BigInt)]
    lines: i64,
}

/// Result of one batch of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedHistory {
    pub lines: i64,
    /// Id to go on after; `None` when nothing older is left.
    pub next: Option<FileId>,
}

impl Files<'_> {
    /// Deletes up to `limit` rows, with their history, of files that were deleted longer ago than `kept`. Returns how many.
    pub async fn remove_deleted(self, kept: Duration, limit: i64) -> Result<usize, DbError> {
        self.db.delete_batch(REMOVE_DELETED, kept, limit).await
    }

    /// Deletes the history of finished files that have not changed for longer than `kept`, looking at up to `limit` lines of
    /// files with ids above `after`.
    pub async fn remove_history(
        self,
        kept: Duration,
        after: FileId,
        limit: i64,
    ) -> Result<RemovedHistory, DbError> {
        let seen: Seen = self
            .db
            .run(async move |conn| {
                let forget = diesel::sql_query(REMOVE_HISTORY)
                    .bind::<BigInt, _>(after.0)
                    .bind::<BigInt, _>(limit)
                    .bind::<Interval, _>(clock::interval(kept));
                Prepared(forget).load_one(conn).await
            })
            .await?;
        let next = seen.last.filter(|_| seen.all_old).map(FileId);
        Ok(RemovedHistory { lines: seen.lines, next })
    }
}
