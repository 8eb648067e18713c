//! No file is left behind: publish again what nobody will answer for, fail what is past its deadline.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ServeContext;
use super::moves::{self, Details};
use crate::db::Db;
use crate::db::moves::{Change, Moves};
use crate::domain::message::topic;
use crate::domain::status::{Move, State, Verdict, judge};
use crate::domain::{FileId, Result};
use crate::telemetry::Outage;

const BATCH: i64 = 500;
const EVERY: Duration = Duration::from_secs(10);

/// Publishes every unfinished file again, with the next attempt number, unless its request still is in the outbox.
/// For a start on a broker that remembers nothing. Returns how many.
pub async fn resume(ctx: &ServeContext) -> Result<usize> {
    let mut count = 0;
    let mut after = FileId(0);
    loop {
        let ids = ctx.db.files_in_flight(topic::CREATE, after, BATCH).await?;
        let Some(last) = ids.last() else { break };
        after = *last;
        count += move_all(&ctx.db, ids, Move::Rescue, None).await?;
    }
    if count > 0 {
        log::info!(files = count; "unfinished files published again");
    }
    Ok(count)
}

/// Fails files past their deadline, now and then, until `stop`.
pub async fn run(ctx: ServeContext, stop: CancellationToken) {
    let outage = Outage::new("deadlines not checked", "deadlines are checked again");
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match expire(&ctx.db).await {
            Ok(_) => outage.works(),
            Err(error) => outage.fails(error.chain()),
        }
    }
}

/// Fails every unfinished file whose deadline has passed. Returns how many.
pub async fn expire(db: &Db) -> Result<usize> {
    let mut count = 0;
    loop {
        let ids = db.files_past_deadline(BATCH).await?;
        if ids.is_empty() {
            return Ok(count);
        }
        count += move_all(db, ids, Move::Expire, Some("not finished before its deadline")).await?;
    }
}

/// Fails files whose request can't be published.
pub(super) async fn fail_unpublishable(ctx: &ServeContext, files: Vec<(FileId, String)>) -> Result<()> {
    for (id, reason) in files {
        let text = format!("its request could not be published: {reason}");
        move_all(&ctx.db, vec![id], Move::Fail, Some(&text)).await?;
    }
    Ok(())
}

async fn move_all(db: &Db, ids: Vec<FileId>, by: Move, error: Option<&str>) -> Result<usize> {
    let error = error.map(str::to_owned);
    let moved = db.move_files(ids, move |files, now| {
        let changes: Vec<Change> = files
            .into_iter()
            .filter_map(|mut file| {
                let Verdict::Apply(to) = judge(State::of(&file), by, None) else { return None };
                Some(moves::apply(
                    &mut file,
                    by,
                    to,
                    now,
                    Details { error: error.clone(), ..Details::default() },
                ))
            })
            .collect();
        let count = changes.len();
        (Moves { changes, ..Moves::default() }, count)
    });
    Ok(moved.await?)
}
