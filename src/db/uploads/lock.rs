//! Lock of an upload: one request at a time writes to it, whichever process that request came to.

use std::time::Duration;

use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{UploadColumns, UploadRow, Uploads};
use crate::db::retry::{Progress, retry, retry_read};
use crate::db::schema::uploads;
use crate::db::statements::load_one::LoadOne;
use crate::db::{DbError, clock};
use crate::domain::FileId;

/// Name of one request that writes to an upload. Everything that it commits is refused once another request has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockId(pub Uuid);

impl LockId {
    /// Makes a new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// Outcome of locking an upload.
#[derive(Debug)]
pub enum Locked {
    /// The lock is ours; the row as it is now.
    Taken(Box<UploadRow>),
    /// Another request holds it.
    Held,
    /// There is no such unfinished upload.
    Absent,
}

/// End of the lock of an upload that no request writes to.
pub(super) fn free() -> SqlLiteral<Timestamptz> {
    diesel::dsl::sql("'-infinity'::timestamptz")
}

impl Uploads<'_> {
    /// Reads one unfinished upload.
    pub async fn get(self, id: FileId) -> Result<Option<UploadRow>, DbError> {
        let row: Option<UploadColumns> = retry_read!(self.db.run(async move |conn| {
            uploads::table.find(id.0).select(UploadColumns::as_select()).load_one(conn).await.optional()
        }))?;
        Ok(row.map(UploadRow::from))
    }

    /// Takes the lock for the time of the lease, if it is free.
    pub async fn lock(self, id: FileId, lock: LockId, lease: Duration) -> Result<Locked, DbError> {
        let taken: Option<UploadColumns> = retry!(
            Progress::of_transaction(),
            self.db.run(async move |conn| {
                diesel::update(uploads::table.find(id.0))
                    .filter(
                        uploads::locked_until.lt(clock::ago(Duration::ZERO))
                            // The same request once more: its first answer was lost.
                            .or(uploads::lock_id.eq(lock.0)),
                    )
                    .set((uploads::lock_id.eq(lock.0), uploads::locked_until.eq(clock::from_now(lease))))
                    .returning(UploadColumns::as_select())
                    .load_one(conn)
                    .await
                    .optional()
            })
        )?;
        Ok(match taken {
            Some(row) => Locked::Taken(Box::new(row.into())),
            None if self.get(id).await?.is_some() => Locked::Held,
            None => Locked::Absent,
        })
    }

    /// Extends the lock. False when it is no longer ours.
    pub async fn extend_lock(self, id: FileId, lock: LockId, lease: Duration) -> Result<bool, DbError> {
        let extended = retry!(
            Progress::of_transaction(),
            self.db.run(async move |conn| {
                diesel::update(uploads::table.find(id.0))
                    .filter(uploads::lock_id.eq(lock.0))
                    .set(uploads::locked_until.eq(clock::from_now(lease)))
                    .execute(conn)
                    .await
            })
        )?;
        Ok(extended > 0)
    }

    /// Gives the lock back, if it is ours.
    pub async fn unlock(self, id: FileId, lock: LockId) -> Result<(), DbError> {
        self.db
            .run(async move |conn| {
                diesel::update(uploads::table.find(id.0))
                    .filter(uploads::lock_id.eq(lock.0))
                    .set((uploads::lock_id.eq(None::<Uuid>), uploads::locked_until.eq(free())))
                    .execute(conn)
                    .await
            })
            .await?;
        Ok(())
    }
}
