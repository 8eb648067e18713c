//! Table `idempotency_keys`: take keys that are free, look up those that are not.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Interval, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::columns::FileRow;
use super::schema::{files, idempotency_keys};
use super::statements::prepared::Prepared;
use super::{Db, DbError, clock};
use crate::domain::{File, FileId};

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Text)]
    id: String,
}

/// Statement that takes keys in their order, so that two of these never deadlock.
const TAKE: &str = "
INSERT INTO idempotency_keys AS k (id, file_id, created_at)
SELECT id, file_id, now() FROM UNNEST($1, $2) AS wanted (id, file_id) ORDER BY id
ON CONFLICT (id) DO UPDATE SET file_id = EXCLUDED.file_id, created_at = EXCLUDED.created_at
WHERE k.created_at < now() - $3
RETURNING id";

/// Takes those of the keys that were not taken in the last `kept`, each for its file, in the caller's transaction. Waits for
/// transactions that are taking the same keys.
pub(super) async fn take(
    conn: &mut AsyncPgConnection,
    wanted: &BTreeMap<&str, FileId>,
    kept: Duration,
) -> QueryResult<Vec<String>> {
    let take = diesel::sql_query(TAKE)
        .bind::<Array<Text>, _>(wanted.keys().copied().collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(wanted.values().map(|id| id.0).collect::<Vec<_>>())
        .bind::<Interval, _>(clock::interval(kept));
    let taken: Vec<Taken> = Prepared(take).load(conn).await?;
    Ok(taken.into_iter().map(|row| row.id).collect())
}

/// Reads the files of these keys, by key.
pub(super) async fn files_of(
    conn: &mut AsyncPgConnection,
    keys: Vec<&str>,
) -> QueryResult<BTreeMap<String, File>> {
    let rows: Vec<(String, FileRow)> = idempotency_keys::table
        .inner_join(files::table)
        .filter(idempotency_keys::id.eq_any(keys))
        .select((idempotency_keys::id, FileRow::as_select()))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|(key, row)| (key, File::from(row))).collect())
}

/// Statements about idempotency keys.
#[derive(Clone, Copy)]
pub struct IdempotencyKeys<'a> {
    pub(super) db: &'a Db,
}

impl IdempotencyKeys<'_> {
    /// Removes keys that were taken longer ago than `kept`. Returns their number.
    pub async fn remove_older_than(self, kept: Duration) -> Result<usize, DbError> {
        self.db
            .run(async move |conn| {
                let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(clock::ago(kept)));
                diesel::delete(old).execute(conn).await
            })
            .await
    }
}
