//! Reading one row of `files`.

use diesel::prelude::*;

use super::Files;
use crate::db::DbError;
use crate::db::columns::FileRow;
use crate::db::retry::retry_read;
use crate::db::schema::files;
use crate::db::statements::load_one::LoadOne;
use crate::domain::{File, FileId};

impl Files<'_> {
    /// Reads one file.
    pub async fn get(self, id: FileId) -> Result<Option<File>, DbError> {
        let row: Option<FileRow> = retry_read!(self.db.run(async move |conn| {
            files::table.find(id.0).select(FileRow::as_select()).load_one(conn).await.optional()
        }))?;
        Ok(row.map(File::from))
    }
}
