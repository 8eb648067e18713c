//! Counts by status and the age of the oldest unfinished file.

use std::time::Duration;

use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::files;
use super::types::{StatusColumn, TimeColumn};
use super::{Db, DbError};
use crate::domain::{Stats, Status, Timestamp};

impl Db {
    pub async fn stats(&self, now: Timestamp) -> Result<Stats, DbError> {
        let (counts, oldest): (Vec<(StatusColumn, i64)>, Option<TimeColumn>) = self
            .run(async |conn| {
                let counts = files::table
                    .group_by(files::status)
                    .select((files::status, count_star()))
                    .load(conn)
                    .await?;
                let oldest = files::table
                    .filter(files::status.eq_any([Status::Pending.name(), Status::Processing.name()]))
                    .select(min(files::created_at))
                    .first(conn)
                    .await?;
                Ok((counts, oldest))
            })
            .await?;
        let mut stats = Stats::default();
        for (status, count) in counts {
            stats.total += count;
            *match Status::from(status) {
                Status::Pending => &mut stats.pending,
                Status::Processing => &mut stats.processing,
                Status::Completed => &mut stats.completed,
                Status::Failed => &mut stats.failed,
                Status::Cancelled => &mut stats.cancelled,
                Status::Deleted => &mut stats.deleted,
            } = count;
        }
        stats.oldest_unfinished_seconds = oldest.map(|at| {
            let millis = now.epoch_millis() - Timestamp::from(at).epoch_millis();
            Duration::from_millis(u64::try_from(millis).unwrap_or_default()).as_secs_f64()
        });
        Ok(stats)
    }
}
