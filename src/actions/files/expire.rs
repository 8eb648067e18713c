//! Fail files that no worker will make: past their deadline, or with a request that can't be published.

use super::transition::transition_all;
use crate::actions::ServeContext;
use crate::config::EventsConfig;
use crate::db::Db;
use crate::domain::files::status::Transition;
use crate::domain::{FileId, Result};

const BATCH: i64 = 500;

/// Fails every unfinished file whose deadline has passed. Returns their number.
pub async fn expire(db: &Db, events: &EventsConfig) -> Result<usize> {
    let mut count = 0;
    loop {
        let ids = db.files().past_deadline(BATCH).await?;
        if ids.is_empty() {
            return Ok(count);
        }
        count +=
            transition_all(db, events, ids, Transition::Expire, Some("not finished before its deadline"))
                .await?;
    }
}

/// Fails files whose request can't be published, each with its reason.
pub(crate) async fn fail_unpublishable(ctx: &ServeContext, files: Vec<(FileId, String)>) -> Result<()> {
    for (id, reason) in files {
        let text = format!("its request could not be published: {reason}");
        transition_all(&ctx.db, &ctx.events, vec![id], Transition::Fail, Some(&text)).await?;
    }
    Ok(())
}
