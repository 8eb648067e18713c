//! Table `transitions`: the history of a file.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Files;
use crate::db::DbError;
use crate::db::columns::HistoryRow;
use crate::db::retry::retry_read;
use crate::db::schema::transitions;
use crate::domain::{FileId, HistoryEntry};

/// Maximum of one file's history that is read: a file may be cancelled and asked for again without limit.
const MAX_LINES: i64 = 1000;

impl Files<'_> {
    /// The newest ones, oldest of them first.
    pub async fn history(self, id: FileId) -> Result<Vec<HistoryEntry>, DbError> {
        let rows: Vec<HistoryRow> = retry_read!(self.db.run(async move |conn| {
            transitions::table
                .select(HistoryRow::as_select())
                .filter(transitions::file_id.eq(id.0))
                .order((transitions::file_id.desc(), transitions::id.desc()))
                .limit(MAX_LINES)
                .load(conn)
                .await
        }))?;
        Ok(rows.into_iter().rev().map(HistoryEntry::from).collect())
    }
}
