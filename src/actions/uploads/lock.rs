//! Take up an upload that was started before, by whichever process.

use std::time::Duration;

use super::receive::ReceiveOptions;
use super::{LOCK_LEASE, Receiver};
use crate::actions::{ServeContext, files};
use crate::db::uploads::{LockId, Locked, UploadRow};
use crate::domain::{Error, ErrorCode, File, FileId, Result, Status};

/// Time that a request waits for the lock: a client that was cut off comes back before its first request has ended.
const WAIT: Duration = Duration::from_secs(2);
/// Time between two tries to take the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Unfinished upload, or the file that an upload has become.
pub enum Upload {
    Unfinished(Box<UploadRow>),
    Stored(Box<File>),
}

/// Reads an upload without taking its lock. `UploadNotFound` when there is none; `FileDeleted` when it ended without a file.
pub async fn get(ctx: &ServeContext, id: FileId) -> Result<Upload> {
    if let Some(row) = ctx.db.uploads().get(id).await? {
        return Ok(Upload::Unfinished(Box::new(row)));
    }
    let file = ctx.db.files().get(id).await?.filter(File::is_upload).ok_or_else(|| not_found(id))?;
    match file.status {
        Status::Uploading | Status::Pending | Status::Processing | Status::Completed => {
            Ok(Upload::Stored(Box::new(file)))
        }
        Status::Failed | Status::Cancelled | Status::Deleted => {
            let detail = format!("the upload has ended: the file is {}", file.status.name());
            Err(Error::new(ErrorCode::FileDeleted, detail))
        }
    }
}

/// Takes the lock of an upload. `UploadLocked` while another request holds it.
pub async fn lock(ctx: &ServeContext, id: FileId) -> Result<Receiver> {
    let lock = LockId::random();
    let started = tokio::time::Instant::now();
    let row = loop {
        match ctx.db.uploads().lock(id, lock, LOCK_LEASE).await? {
            Locked::Taken(row) => break row,
            Locked::Absent => return Err(not_found(id)),
            Locked::Held if started.elapsed() < WAIT => tokio::time::sleep(POLL_INTERVAL).await,
            Locked::Held => {
                let mut error = Error::new(
                    ErrorCode::UploadLocked,
                    "another request is writing to this upload; try again shortly",
                );
                error.retry_after = Some(Duration::from_secs(1));
                return Err(error);
            }
        }
    };
    let resumed = resume(ctx, *row, lock).await;
    if resumed.is_err() {
        // The next request need not wait for its end.
        let _ = ctx.db.uploads().unlock(id, lock).await;
    }
    resumed
}

async fn resume(ctx: &ServeContext, row: UploadRow, lock: LockId) -> Result<Receiver> {
    let file = files::get(ctx, row.file_id).await?;
    let options = ReceiveOptions {
        max_bytes: ctx.uploads.max_size,
        expires_in: ctx.uploads.expiry,
        is_resumable: true,
    };
    Receiver::resume(ctx, row, lock, &file, options).await
}

fn not_found(id: FileId) -> Error {
    Error::new(ErrorCode::UploadNotFound, format!("there is no unfinished upload with id {id}"))
}
