//! Ask again for a file that failed or was cancelled, with the next attempt number and a new deadline.

use super::moves::{self, Details};
use super::{Guard, ServeContext};
use crate::domain::status::Move;
use crate::domain::{File, FileId, Result};

/// The file, pending. `Conflict` when it neither failed nor was cancelled.
pub async fn retry(ctx: &ServeContext, id: FileId) -> Result<File> {
    retry_if(ctx, id, Guard::none()).await
}

/// As [`retry`], unless the guard refuses it.
pub async fn retry_if(ctx: &ServeContext, id: FileId, guard: Guard<File>) -> Result<File> {
    let deadline = Some(ctx.file_deadline);
    moves::ask(ctx, id, Move::Retry, Details { deadline, ..Details::default() }, guard).await
}
