//! Helpers for statements: prepared SQL, single rows, batches of deletions.

pub(super) mod load_one;
pub(super) mod prepared;

use std::time::Duration;

use diesel::sql_types::{BigInt, Interval};
use diesel_async::RunQueryDsl;

use super::{Db, DbError, clock};
use prepared::Prepared;

impl Db {
    /// Runs a DELETE of at most `limit` rows that are older than `kept`. Returns their number.
    pub(super) async fn delete_batch(
        &self,
        sql: &'static str,
        kept: Duration,
        limit: i64,
    ) -> Result<usize, DbError> {
        self.run(async move |conn| {
            let forget =
                diesel::sql_query(sql).bind::<Interval, _>(clock::interval(kept)).bind::<BigInt, _>(limit);
            Prepared(forget).execute(conn).await
        })
        .await
    }
}
