//! Delete a file: the row stays, as deleted; its object is removed in the background.

use super::transition::{self, Details};
use crate::actions::{Guard, ServeContext};
use crate::domain::files::status::Transition;
use crate::domain::{File, FileId, Result};

/// Deletes the file. A file that was deleted already is no error.
pub async fn delete(ctx: &ServeContext, id: FileId) -> Result<()> {
    delete_if(ctx, id, Guard::none()).await
}

/// Does what [`delete`] does, if the guard allows it.
pub async fn delete_if(ctx: &ServeContext, id: FileId, guard: Guard<File>) -> Result<()> {
    transition::request_transition(ctx, id, Transition::Delete, Details::default(), guard).await?;
    Ok(())
}
