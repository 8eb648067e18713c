//! End an upload without a file: everything that the store may have of it is removed in the background.

use super::Receiver;
use crate::actions::ServeContext;
use crate::actions::files::transition::transition_all;
use crate::domain::files::status::Transition;
use crate::domain::{FileId, Result};

/// Fails the upload for this reason. Nothing more is sent to the store for it.
pub async fn abort(ctx: &ServeContext, mut receiver: Receiver, why: &str) -> Result<()> {
    receiver.stop().await;
    // Removal need not wait for the lock to end then, unless the store may still carry out a request.
    receiver.unlock().await?;
    let (id, _) = receiver.lock_id();
    fail(ctx, id, why).await
}

/// Fails an upload that no request writes to. One that has ended stays as it is.
pub async fn fail(ctx: &ServeContext, id: FileId, why: &str) -> Result<()> {
    transition_all(&ctx.db, &ctx.events, vec![id], Transition::Abort, Some(why)).await?;
    ctx.removals.notify_one();
    Ok(())
}
