//! Files that are pending or processing: past their deadline, idle, or to be requested again.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Files;
use crate::db::columns::{AttemptColumn, IdColumn};
use crate::db::schema::{files, outbox};
use crate::db::{DbError, clock};
use crate::domain::{FileId, Revision, Status};

const UNFINISHED: [&str; 2] = [Status::Pending.name(), Status::Processing.name()];

impl Files<'_> {
    /// Reads the ids of unfinished files whose deadline has passed, oldest deadline first.
    pub async fn past_deadline(self, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                files::table
                    .select(files::id)
                    .filter(files::status.eq_any(UNFINISHED))
                    .filter(files::deadline_at.le(diesel::dsl::now))
                    .order(files::deadline_at)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }

    /// Reads unfinished files without a transition for longer than `idle` whose request (on `topic`) is not in the outbox,
    /// idle for longest first, each with its revision.
    pub async fn unchanged_for(
        self,
        topic: &'static str,
        idle: Duration,
        limit: i64,
    ) -> Result<Vec<(FileId, Revision)>, DbError> {
        let rows: Vec<(IdColumn, AttemptColumn, i64)> = self
            .db
            .run(async move |conn| {
                files::table
                    .select((files::id, files::attempt, files::sequence))
                    .filter(files::status.eq_any(UNFINISHED))
                    .filter(files::updated_at.lt(clock::ago(idle)))
                    .filter(diesel::dsl::not(diesel::dsl::exists(
                        outbox::table.filter(outbox::file_id.eq(files::id).and(outbox::topic.eq(topic))),
                    )))
                    .order(files::updated_at)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        let revision = |attempt: AttemptColumn, sequence| Revision { attempt: attempt.into(), sequence };
        Ok(rows.into_iter().map(|(id, attempt, sequence)| (id.into(), revision(attempt, sequence))).collect())
    }

    /// Reads the ids above `after` of unfinished files whose request (on `topic`) is not in the outbox, in order.
    pub async fn unfinished_after(
        self,
        topic: &'static str,
        after: FileId,
        limit: i64,
    ) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                files::table
                    .select(files::id)
                    .filter(files::status.eq_any(UNFINISHED))
                    .filter(files::id.gt(after.0))
                    .filter(diesel::dsl::not(diesel::dsl::exists(
                        outbox::table.filter(outbox::file_id.eq(files::id).and(outbox::topic.eq(topic))),
                    )))
                    .order(files::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }

    /// Reads the ids above `after` of unfinished files whose deadline passed longer ago than `late`, in order.
    pub async fn overdue(self, late: Duration, after: FileId, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                files::table
                    .select(files::id)
                    .filter(files::status.eq_any(UNFINISHED))
                    .filter(files::deadline_at.lt(clock::ago(late)))
                    .filter(files::id.gt(after.0))
                    .order(files::id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }
}
