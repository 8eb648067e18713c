//! Delete a file: the row stays, as deleted; its object is removed in the background.

use super::ServeContext;
use super::moves::{self, Details};
use crate::domain::status::Move;
use crate::domain::{FileId, Result};

/// One that was deleted already is no error.
pub async fn delete(ctx: &ServeContext, id: FileId) -> Result<()> {
    moves::ask(ctx, id, Move::Delete, Details::default()).await?;
    Ok(())
}
