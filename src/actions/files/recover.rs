//! Recover unfinished files after a restart with a broker that kept nothing.

use super::transition::transition_all;
use crate::actions::ServeContext;
use crate::domain::files::status::Transition;
use crate::domain::messages::topics;
use crate::domain::{FileId, Result};

const BATCH: i64 = 500;

/// Republishes the request of every unfinished file, with the next attempt number, unless a request still is in the outbox.
/// Returns the number of files.
pub async fn republish_unfinished(ctx: &ServeContext) -> Result<usize> {
    let mut count = 0;
    let mut after = FileId(0);
    loop {
        let ids = ctx.db.files().unfinished_after(topics::CREATE, after, BATCH).await?;
        let Some(last) = ids.last() else { break };
        after = *last;
        count += transition_all(&ctx.db, &ctx.events, ids, Transition::Republish, None).await?;
    }
    if count > 0 {
        log::info!(files = count; "unfinished files republished");
    }
    Ok(count)
}
