//! End uploads that no request will end: those that no client goes on with, and those whose process died after the last byte.

use super::{abort, finish, lock};
use crate::actions::ServeContext;
use crate::actions::files::transition::transition_all;
use crate::config::EventsConfig;
use crate::db::Db;
use crate::domain::files::status::Transition;
use crate::domain::{ErrorCode, ErrorKind, Fault, FileId, Result};

/// Uploads that are ended in one transaction.
const BATCH: i64 = 100;

/// Fails every upload that has expired. Returns their number.
pub async fn expire(ctx: &ServeContext) -> Result<usize> {
    let count = expire_all(&ctx.db, &ctx.events).await?;
    if count > 0 {
        ctx.removals.notify_one();
    }
    Ok(count)
}

/// Does what [`expire`] does, outside of `serve`.
pub(crate) async fn expire_all(db: &Db, events: &EventsConfig) -> Result<usize> {
    let mut count = 0;
    loop {
        let ids = db.uploads().expired(BATCH).await?;
        let why = Some("its bytes stopped arriving");
        match transition_all(db, events, ids, Transition::Expire, why).await? {
            0 => return Ok(count),
            ended => count += ended,
        }
    }
}

/// Finishes uploads whose bytes are all stored. Returns their number. One that can't be finished holds up no other; it expires.
pub async fn finish_stored(ctx: &ServeContext) -> Result<usize> {
    let mut count = 0;
    for id in ctx.db.uploads().all_stored(BATCH).await? {
        match finish_one(ctx, id).await {
            Ok(()) => count += 1,
            // A request has come first.
            Err(error) if matches!(error.code, ErrorCode::UploadLocked | ErrorCode::UploadNotFound) => {}
            // The others would fare no better.
            Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                log::warn!(file_id = id.0, error:% = error.chain(); "upload not finished");
            }
        }
    }
    Ok(count)
}

async fn finish_one(ctx: &ServeContext, id: FileId) -> Result<()> {
    let mut receiver = lock(ctx, id).await?;
    match finish(ctx, &mut receiver).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind.fault() == Fault::Caller && error.code != ErrorCode::UploadLocked => {
            abort(ctx, receiver, &error.detail).await
        }
        Err(error) => {
            receiver.release().await?;
            Err(error)
        }
    }
}
