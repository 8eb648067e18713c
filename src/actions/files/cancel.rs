//! Call a file off before it is made. What a worker has under way may still be stored; it is removed again.

use super::transition::{self, Details};
use crate::actions::{Guard, ServeContext};
use crate::domain::files::status::Transition;
use crate::domain::{File, FileId, Result};

/// The file, cancelled; one that was cancelled already is no error. `Conflict` when it has ended otherwise.
pub async fn cancel(ctx: &ServeContext, id: FileId) -> Result<File> {
    cancel_if(ctx, id, Guard::none()).await
}

/// Does what [`cancel`] does, if the guard allows it.
pub async fn cancel_if(ctx: &ServeContext, id: FileId, guard: Guard<File>) -> Result<File> {
    transition::request_transition(ctx, id, Transition::Cancel, Details::default(), guard).await
}
