//! Counts by status and the age of the oldest unfinished file: the same work however many files there are.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};
use diesel_async::RunQueryDsl;

use super::Files;
use crate::db::DbError;
use crate::db::columns::StatusColumn;
use crate::db::retry::retry_read;
use crate::db::statements::load_one::LoadOne;
use crate::db::statements::prepared::Prepared;
use crate::domain::{Stats, Status};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Text)]
    status: StatusColumn,
    #[diesel(sql_type = BigInt)]
    files: i64,
}

#[derive(QueryableByName)]
struct Age {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

const COUNTS: &str = "SELECT status, sum(files)::bigint AS files FROM status_counts GROUP BY status";

const OLDEST: &str = "
SELECT greatest(extract(epoch FROM clock_timestamp() - created_at), 0)::float8 AS seconds FROM files
WHERE status IN ('pending', 'processing') ORDER BY created_at LIMIT 1";

/// Statement that leaves one row for each status instead of one for each commit.
const COMPACT: &str = "
WITH compacted AS (DELETE FROM status_counts RETURNING status, files)
INSERT INTO status_counts (status, files)
SELECT status, sum(files) FROM compacted GROUP BY status HAVING sum(files) <> 0";

impl Files<'_> {
    /// Reads the number of files in each status.
    pub async fn stats(self) -> Result<Stats, DbError> {
        let (counts, oldest): (Vec<Count>, Option<Age>) = retry_read!(self.db.run(async |conn| {
            let counts = Prepared(diesel::sql_query(COUNTS)).load(conn).await?;
            Ok((counts, Prepared(diesel::sql_query(OLDEST)).load_one(conn).await.optional()?))
        }))?;
        let mut stats = Stats::default();
        for Count { status, files } in counts {
            stats.total += files;
            *match Status::from(status) {
                Status::Pending => &mut stats.pending,
                Status::Uploading => &mut stats.uploading,
                Status::Processing => &mut stats.processing,
                Status::Completed => &mut stats.completed,
                Status::Failed => &mut stats.failed,
                Status::Cancelled => &mut stats.cancelled,
                Status::Deleted => &mut stats.deleted,
            } = files;
        }
        stats.oldest_unfinished_seconds = oldest.map(|age| age.seconds);
        Ok(stats)
    }

    /// Compacts the rows that the counts are sums of. Changes no count, and waits only for another compaction.
    pub async fn compact_counts(self) -> Result<(), DbError> {
        self.db.run(async |conn| Prepared(diesel::sql_query(COMPACT)).execute(conn).await).await?;
        Ok(())
    }
}
