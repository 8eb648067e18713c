//! Table `transitions`: the history of a file.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::transitions;
use super::types::TransitionRow;
use super::{Db, DbError};
use crate::domain::{FileId, Transition};

impl Db {
    /// Oldest first.
    pub async fn transitions(&self, id: FileId) -> Result<Vec<Transition>, DbError> {
        let rows: Vec<TransitionRow> = self
            .run(async move |conn| {
                transitions::table
                    .select(TransitionRow::as_select())
                    .filter(transitions::file_id.eq(id.0))
                    .order(transitions::id)
                    .load(conn)
                    .await
            })
            .await?;
        Ok(rows.into_iter().map(Transition::from).collect())
    }
}
