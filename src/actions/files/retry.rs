//! Ask again for a file that failed or was cancelled, or whose object is gone, with the next attempt number and a new deadline.

use super::compare_result;
use super::get::get;
use super::transition::{self, Details};
use crate::actions::{Guard, ServeContext};
use crate::domain::files::status::Transition;
use crate::domain::{File, FileId, Result, Status};

/// The file, pending. `Conflict` when it neither failed nor was cancelled, and its object is as its row says.
pub async fn retry(ctx: &ServeContext, id: FileId) -> Result<File> {
    retry_if(ctx, id, Guard::none()).await
}

/// Does what [`retry`] does, if the guard allows it.
pub async fn retry_if(ctx: &ServeContext, id: FileId, guard: Guard<File>) -> Result<File> {
    let deadline = Some(ctx.file_deadline);
    let by = if needs_remaking(ctx, id).await? { Transition::Remake } else { Transition::Retry };
    transition::request_transition(ctx, id, by, Details { deadline, ..Details::default() }, guard).await
}

/// Tells whether the object of a completed file is gone or altered.
async fn needs_remaking(ctx: &ServeContext, id: FileId) -> Result<bool> {
    let file = get(ctx, id).await?;
    let bucket = ctx.storage.bucket_name();
    if file.status != Status::Completed || compare_result::is_intact(&ctx.storage, &bucket, &file).await? {
        return Ok(false);
    }
    log::warn!(file_id = id.0; "completed file without its object is made once more");
    Ok(true)
}
