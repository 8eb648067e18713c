//! List files, newest first, page by page.

use std::sync::Arc;

use crate::actions::ServeContext;
use crate::domain::{Page, PageRequest, Result};

/// Reads a page of the list. The page is at most a second old, and not older than any change that this process has made or
/// was notified of.
pub async fn list(ctx: &ServeContext, request: &PageRequest) -> Result<Arc<Page>> {
    let read = || {
        let (db, request) = (ctx.db.clone(), request.clone());
        async move { Ok(db.files().list(&request).await?) }
    };
    ctx.pages.get(request, ctx.db.version(), read).await
}

/// Returns what `list` would give if that needs no query.
pub fn list_cached(ctx: &ServeContext, request: &PageRequest) -> Option<Arc<Page>> {
    ctx.pages.cached(request, ctx.db.version())
}
