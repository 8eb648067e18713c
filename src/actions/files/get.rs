//! Read one file, its history, and the counts by status.

use std::sync::Arc;

use crate::actions::ServeContext;
use crate::domain::{Error, ErrorCode, File, FileId, HistoryEntry, Result, Stats};

/// Reads a file. Deleted files are found, with that status.
pub async fn get(ctx: &ServeContext, id: FileId) -> Result<File> {
    ctx.db.files().get(id).await?.ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: FileId) -> Error {
    Error::new(ErrorCode::FileNotFound, format!("there is no file with id {id}"))
}

/// Reads the history of a file, oldest entry first; there is at least one.
pub async fn history(ctx: &ServeContext, id: FileId) -> Result<Vec<HistoryEntry>> {
    let entries = ctx.db.files().history(id).await?;
    if entries.is_empty() {
        get(ctx, id).await?;
    }
    Ok(entries)
}

/// Reads the number of files in each status; the answer may be as old as a page of the list.
pub async fn stats(ctx: &ServeContext) -> Result<Arc<Stats>> {
    let read = || {
        let db = ctx.db.clone();
        async move { Ok(db.files().stats().await?) }
    };
    ctx.stats.get(&(), ctx.db.version(), read).await
}
