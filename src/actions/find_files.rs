//! Look things up: one file, a page of them, a history, counts.

use std::sync::Arc;

use super::ServeContext;
use crate::domain::{Error, ErrorKind, File, FileId, Page, PageRequest, Result, Stats, Transition};

/// Reads a page of the list. It is at most a second old, and not older than any change that this process has made or heard
/// of.
pub async fn page(ctx: &ServeContext, request: &PageRequest) -> Result<Arc<Page>> {
    let read = || {
        let (db, request) = (ctx.db.clone(), request.clone());
        async move { Ok(db.page(&request).await?) }
    };
    ctx.pages.get(request, ctx.db.version(), read).await
}

/// What `page` would give, if that takes no look at the rows.
pub fn page_at_hand(ctx: &ServeContext, request: &PageRequest) -> Option<Arc<Page>> {
    ctx.pages.at_hand(request, ctx.db.version())
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

/// Reads the counts by status, which may be as old as a page of the list.
pub async fn stats(ctx: &ServeContext) -> Result<Arc<Stats>> {
    let read = || {
        let db = ctx.db.clone();
        async move { Ok(db.stats().await?) }
    };
    ctx.stats.get(&(), ctx.db.version(), read).await
}
