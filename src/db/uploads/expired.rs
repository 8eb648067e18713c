//! Uploads that have expired, and those whose bytes are all stored although no request ended them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Uploads;
use crate::db::columns::IdColumn;
use crate::db::schema::uploads;
use crate::db::{DbError, clock};
use crate::domain::FileId;
use std::time::Duration;

impl Uploads<'_> {
    /// Reads the ids of uploads that have expired and that no request writes to.
    pub async fn expired(self, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                uploads::table
                    .select(uploads::file_id)
                    .filter(uploads::expires_at.le(clock::ago(Duration::ZERO)))
                    .filter(uploads::locked_until.lt(clock::ago(Duration::ZERO)))
                    .order(uploads::expires_at)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }

    /// Reads the ids above `after` of uploads that expired more than `late` ago and that no request writes to, in order.
    pub async fn overdue(self, late: Duration, after: FileId, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                uploads::table
                    .select(uploads::file_id)
                    .filter(uploads::expires_at.lt(clock::ago(late)))
                    .filter(uploads::locked_until.lt(clock::ago(late)))
                    .filter(uploads::file_id.gt(after.0))
                    .order(uploads::file_id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }

    /// Reads the ids of uploads whose announced bytes are all stored and whose last request ended without ending them.
    pub async fn all_stored(self, limit: i64) -> Result<Vec<FileId>, DbError> {
        let rows: Vec<IdColumn> = self
            .db
            .run(async move |conn| {
                uploads::table
                    .select(uploads::file_id)
                    .filter(uploads::length.eq(uploads::stored.nullable()))
                    .filter(uploads::locked_until.lt(clock::ago(Duration::ZERO)))
                    .order(uploads::file_id)
                    .limit(limit)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(FileId::from).collect())
    }
}
