//! Ends of uploads whose object is stored, by the request that holds the lock.

use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection};

use super::{LockId, Uploads};
use crate::db::DbError;
use crate::db::columns::{FileRow, TimeColumn};
use crate::db::files::Change;
use crate::db::files::transition::write;
use crate::db::retry::{Progress, retry};
use crate::db::schema::{files, uploads};
use crate::db::statements::load_one::LoadOne;
use crate::domain::{File, FileId, Timestamp};

impl Uploads<'_> {
    /// Ends an upload whose object is stored: locks its file, hands it to `decide` with the time, and writes the change that it
    /// answers. `None` when the lock is no longer the caller's, or the upload has ended: then nothing has changed.
    pub async fn finish<R: Send>(
        self,
        id: FileId,
        lock: LockId,
        decide: impl Fn(File, Timestamp) -> (Option<Change>, R) + Send + Sync,
    ) -> Result<Option<R>, DbError> {
        let lease = self.db.handoff.lease();
        let decide = &decide;
        let progress = &Progress::of_transaction();
        let outcome = retry!(
            *progress,
            self.db.run(async move |conn| {
                progress.begin();
                conn.transaction(async move |conn: &mut AsyncPgConnection| {
                    let row: Option<(FileRow, TimeColumn)> = files::table
                        .inner_join(uploads::table)
                        .select((FileRow::as_select(), diesel::dsl::now.into_sql::<Timestamptz>()))
                        .filter(files::id.eq(id.0).and(uploads::lock_id.eq(lock.0)))
                        .for_update()
                        .load_one(conn)
                        .await
                        .optional()?;
                    let Some((file, now)) = row.map(|(row, now)| (File::from(row), Timestamp::from(now)))
                    else {
                        return Ok((Vec::new(), None));
                    };
                    let (change, answer) = decide(file, now);
                    let written = match change {
                        Some(change) => write(conn, vec![change], now, lease).await?,
                        None => Vec::new(),
                    };
                    progress.commit_sent();
                    Ok((written, Some(answer)))
                })
                .await
            })
        );
        let (written, answer) = outcome?;
        self.db.changes.record();
        if lease.is_some() {
            self.db.handoff.enqueue(written);
        }
        Ok(answer)
    }
}
