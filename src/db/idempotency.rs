//! Table `idempotency_keys`: take keys that are free, look up those that are not.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::{files, idempotency_keys};
use super::types::FileRow;
use super::{Db, DbError};
use crate::domain::{File, FileId, Timestamp};

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Text)]
    id: String,
}

/// In the order of the keys, so that two of these wait for each other without a deadlock.
const TAKE: &str = "
INSERT INTO idempotency_keys AS k (id, file_id, created_at)
SELECT id, file_id, $3 FROM UNNEST($1, $2) AS wanted (id, file_id) ORDER BY id
ON CONFLICT (id) DO UPDATE SET file_id = EXCLUDED.file_id, created_at = EXCLUDED.created_at
WHERE k.created_at < $4
RETURNING id";

/// Takes those of the keys that nobody has taken since `expired`, each for its file. Waits for transactions that are
/// taking the same ones. Part of the caller's transaction.
pub(super) async fn take(
    conn: &mut AsyncPgConnection,
    wanted: &BTreeMap<&str, FileId>,
    now: Timestamp,
    expired: Timestamp,
) -> QueryResult<Vec<String>> {
    let taken: Vec<Taken> = diesel::sql_query(TAKE)
        .bind::<Array<Text>, _>(wanted.keys().copied().collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(wanted.values().map(|id| id.0).collect::<Vec<_>>())
        .bind::<Timestamptz, _>(now.as_datetime())
        .bind::<Timestamptz, _>(expired.as_datetime())
        .load(conn)
        .await?;
    Ok(taken.into_iter().map(|row| row.id).collect())
}

/// The files of these keys, by key.
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

impl Db {
    /// Forgets keys that were taken before `expired`. Returns how many.
    pub async fn forget_idempotency_keys(&self, expired: Timestamp) -> Result<usize, DbError> {
        self.run(async move |conn| {
            let old = idempotency_keys::table.filter(idempotency_keys::created_at.lt(expired.as_datetime()));
            diesel::delete(old).execute(conn).await
        })
        .await
    }
}
