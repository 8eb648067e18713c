//! Look things up: one file, a page of them, a history, counts.

use super::ServeContext;
use crate::domain::{
    Error, ErrorKind, File, FileId, Page, PageRequest, Result, Stats, Timestamp, Transition,
};

pub async fn page(ctx: &ServeContext, request: &PageRequest) -> Result<Page> {
    Ok(ctx.db.page(request).await?)
}

/// Deleted files are found, with that status.
pub async fn one(ctx: &ServeContext, id: FileId) -> Result<File> {
    ctx.db.file(id).await?.ok_or_else(|| missing(id))
}

pub(super) fn missing(id: FileId) -> Error {
    Error::new(ErrorKind::NotFound, "file_not_found", format!("there is no file with id {id}"))
}

/// Oldest first; at least one line.
pub async fn timeline(ctx: &ServeContext, id: FileId) -> Result<Vec<Transition>> {
    let lines = ctx.db.transitions(id).await?;
    if lines.is_empty() {
        one(ctx, id).await?;
    }
    Ok(lines)
}

pub async fn stats(ctx: &ServeContext) -> Result<Stats> {
    Ok(ctx.db.stats(Timestamp::now()).await?)
}
