//! Look at dead letters: one, a page of them, the open ones. Needs PostgreSQL alone.

use crate::actions::DeadLettersContext;
use crate::domain::{
    DeadLetter, DeadLetterId, DeadLetterPage, DeadLetterPageRequest, Error, ErrorCode, FileId, Result,
};

/// Reads a page of dead letters, newest first. Long values are cut.
pub async fn list(ctx: &DeadLettersContext, request: &DeadLetterPageRequest) -> Result<DeadLetterPage> {
    Ok(ctx.db.dead_letters().list(request).await?)
}

/// Reads a dead letter.
pub async fn get(ctx: &DeadLettersContext, id: DeadLetterId) -> Result<DeadLetter> {
    ctx.db.dead_letters().get(id).await?.ok_or_else(|| not_found(id))
}

/// Reads the ids of all open dead letters, oldest first.
pub async fn list_open(ctx: &DeadLettersContext) -> Result<Vec<DeadLetterId>> {
    Ok(ctx.db.dead_letters().open_ids().await?)
}

/// Counts the open dead letters.
pub async fn count_open(ctx: &DeadLettersContext) -> Result<i64> {
    Ok(ctx.db.dead_letters().count_open().await?)
}

/// Tells whether an open dead letter names the file.
pub async fn has_open(ctx: &DeadLettersContext, file_id: FileId) -> Result<bool> {
    Ok(ctx.db.dead_letters().has_open(file_id).await?)
}

pub(super) fn not_found(id: DeadLetterId) -> Error {
    Error::new(ErrorCode::DeadLetterNotFound, format!("there is no dead letter with id {id}"))
}
