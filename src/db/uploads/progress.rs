//! Progress of an upload: each statement holds only while the lock is that of its caller.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::lock::free;
use super::{LockId, Multipart, Tail, Uploads, column};
use crate::db::retry::{Progress as Repeat, retry};
use crate::db::schema::uploads;
use crate::db::{DbError, clock};
use crate::domain::FileId;

/// Stored bytes of an upload, as one commit names them all.
#[derive(Debug, Clone)]
pub struct UploadProgress {
    pub stored: u64,
    pub sha256_state: Vec<u8>,
    pub multipart: Option<Multipart>,
    pub tail: Tail,
    /// Number of bytes, where the client has told it since.
    pub length: Option<u64>,
    /// Time after which the upload expires when nothing more arrives.
    pub expires_in: Duration,
}

impl Uploads<'_> {
    /// Commits what is stored. False when the lock is no longer the caller's: then nothing has changed.
    pub async fn commit_progress(
        self,
        id: FileId,
        lock: LockId,
        progress: UploadProgress,
        unlock: bool,
    ) -> Result<bool, DbError> {
        let progress = &progress;
        let changed = retry!(
            Repeat::of_transaction(),
            self.db.run(async move |conn| {
                let UploadProgress { stored, sha256_state, multipart, tail, length, expires_in } = progress;
                let row = uploads::table.find(id.0).filter(uploads::lock_id.eq(lock.0));
                let changed = diesel::update(row)
                    .set((
                        uploads::stored.eq(column(*stored)),
                        uploads::length.eq(length.map(column)),
                        uploads::sha256_state.eq(sha256_state),
                        uploads::s3_upload_id.eq(multipart.as_ref().map(|multipart| &multipart.id)),
                        multipart.as_ref().map(|multipart| uploads::parts.eq(&multipart.parts)),
                        uploads::tail_size.eq(column(tail.size)),
                        uploads::tail_number.eq(column(tail.number)),
                        uploads::has_tails.eq(tail.may_exist),
                        uploads::expires_at.eq(clock::from_now(*expires_in)),
                    ))
                    .execute(conn)
                    .await?;
                if unlock && changed > 0 {
                    diesel::update(uploads::table.find(id.0))
                        .set((uploads::lock_id.eq(None::<Uuid>), uploads::locked_until.eq(free())))
                        .execute(conn)
                        .await?;
                }
                Ok(changed)
            })
        )?;
        Ok(changed > 0)
    }

    /// Notes the multipart upload of the store before its first part is sent. False when the lock is no longer the caller's.
    pub async fn set_multipart(self, id: FileId, lock: LockId, s3_upload_id: &str) -> Result<bool, DbError> {
        let changed = retry!(
            Repeat::of_transaction(),
            self.db.run(async move |conn| {
                diesel::update(uploads::table.find(id.0).filter(uploads::lock_id.eq(lock.0)))
                    .set(uploads::s3_upload_id.eq(s3_upload_id))
                    .execute(conn)
                    .await
            })
        )?;
        Ok(changed > 0)
    }

    /// Notes that objects of tails may lie in the store, before the first is written. False when the lock is no longer the
    /// caller's.
    pub async fn announce_tails(self, id: FileId, lock: LockId) -> Result<bool, DbError> {
        let changed = retry!(
            Repeat::of_transaction(),
            self.db.run(async move |conn| {
                diesel::update(uploads::table.find(id.0).filter(uploads::lock_id.eq(lock.0)))
                    .set(uploads::has_tails.eq(true))
                    .execute(conn)
                    .await
            })
        )?;
        Ok(changed > 0)
    }
}
