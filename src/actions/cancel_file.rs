//! Call a file off before it is made. What a worker has under way may still be stored; it is removed again.

use super::ServeContext;
use super::moves::{self, Details};
use crate::domain::status::Move;
use crate::domain::{File, FileId, Result};

/// The file, cancelled; one that was cancelled already is no error. `Conflict` when it has ended otherwise.
pub async fn cancel(ctx: &ServeContext, id: FileId) -> Result<File> {
    moves::ask(ctx, id, Move::Cancel, Details::default()).await
}
