//! End uploads that no request will end: those that no client goes on with, and those whose process died after the last byte.

use super::{abort, finish, lock};
use crate::actions::ServeContext;
use crate::actions::files::transition::transition_all;
use crate::domain::files::status::Transition;
use crate::domain::{ErrorCode, Fault, Result};

/// Uploads that are ended in one transaction.
const BATCH: i64 = 100;

/// Fails every upload that has expired. Returns their number.
pub async fn expire(ctx: &ServeContext) -> Result<usize> {
    let mut count = 0;
    loop {
        let ids = ctx.db.uploads().expired(BATCH).await?;
        if ids.is_empty() {
            return Ok(count);
        }
        let ended =
            transition_all(&ctx.db, &ctx.events, ids, Transition::Expire, Some("its bytes stopped arriving"))
                .await?;
        if ended == 0 {
            return Ok(count);
        }
        count += ended;
        ctx.removals.notify_one();
    }
}

/// Finishes uploads whose bytes are all stored. Returns their number.
pub async fn finish_stored(ctx: &ServeContext) -> Result<usize> {
    let mut count = 0;
    for id in ctx.db.uploads().all_stored(BATCH).await? {
        let mut receiver = match lock(ctx, id).await {
            Ok(receiver) => receiver,
            // A request has come first.
            Err(error) if matches!(error.code, ErrorCode::UploadLocked | ErrorCode::UploadNotFound) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        match finish(ctx, &mut receiver).await {
            Ok(_) => count += 1,
            Err(error) if error.kind.fault() == Fault::Caller => {
                abort(ctx, receiver, &error.detail).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
