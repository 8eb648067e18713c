//! Find the files whose request Kafka has lost, and ask for them again.
//!
//! Time alone can't tell a lost request from one that waits its turn, so nothing is guessed. Files that have been
//! idle for a while are candidates. If each of their requests is in Kafka at all, it lies below the end of `file.create`
//! as read after the candidates. Once the workers' group has come that far, every one of those requests was handled,
//! and its outcome lies below the end of `file.created` as read then. Once our own group has committed that far too,
//! a candidate that still is what it was has no request and no outcome left.
//!
//! By the same reasoning no worker can still store the object of a file that had ended without one: what is there is removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::actions::files::transition::{self, Details};
use crate::broker::{BrokerError, Position, Watermarks};
use crate::domain::files::status::Transition;
use crate::domain::messages::topics;
use crate::domain::{Attempt, FileId, Result, Revision};

/// Time without a transition after which an unfinished file is a candidate.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// Candidates of one look; the rest has its turn after them.
const MAX_CANDIDATES: i64 = 5000;
/// Attempts after which a file whose request keeps getting lost fails.
const MAX_ATTEMPTS: Attempt = Attempt(20);

/// The groups whose progress counts, as their members call them.
#[derive(Debug, Clone)]
pub struct Groups {
    pub workers: String,
    pub recorders: String,
}

/// Searches at each interval until `stop`.
pub async fn run(ctx: ServeContext, groups: Groups, interval: Duration, stop: CancellationToken) {
    let mut search = Search::new(groups, IDLE_AFTER);
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        match search.step(&ctx).await {
            Ok(0) => {}
            Ok(files) => log::warn!(files; "lost requests republished"),
            // Also said, once, by those who have more to do with what is away.
            Err(error) => log::debug!(error:% = error.chain(); "lost requests not searched for"),
        }
    }
}

/// Progress of a search. Under a backlog it takes as many steps as that takes to drain.
pub struct Search {
    groups: Groups,
    idle: Duration,
    stage: Stage,
}

enum Stage {
    Idle,
    /// Waits until the workers have come to these ends of `file.create`.
    Handled(Found, Vec<Watermarks>),
    /// Waits until the results up to these ends of `file.created` are recorded.
    Recorded(Found, Vec<Watermarks>),
}

struct Found {
    candidates: Candidates,
    /// Removals that wait until no worker can store their objects any more.
    potential_orphans: Vec<i64>,
}

/// Candidates, as they were when they became candidates.
type Candidates = BTreeMap<FileId, Revision>;

impl Search {
    pub fn new(groups: Groups, idle: Duration) -> Self {
        Self { groups, idle, stage: Stage::Idle }
    }

    /// Goes on as far as it can now. Returns how many files were asked for again.
    pub async fn step(&mut self, ctx: &ServeContext) -> Result<usize> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Idle => {
                    let idle =
                        ctx.db.files().unchanged_for(topics::CREATE, self.idle, MAX_CANDIDATES).await?;
                    let potential_orphans =
                        ctx.db.object_removals().potential_orphans(topics::CREATE, MAX_CANDIDATES).await?;
                    if idle.is_empty() && potential_orphans.is_empty() {
                        return Ok(0);
                    }
                    let found = Found { candidates: idle.into_iter().collect(), potential_orphans };
                    // Not before they are known: their requests must lie below.
                    Stage::Handled(found, ends(ctx, topics::CREATE).await?)
                }
                Stage::Handled(found, ends_of_create) => {
                    if !passed(ctx, &self.groups.workers, topics::CREATE, &ends_of_create).await? {
                        self.stage = Stage::Handled(found, ends_of_create);
                        return Ok(0);
                    }
                    Stage::Recorded(found, ends(ctx, topics::CREATED).await?)
                }
                Stage::Recorded(found, ends_of_created) => {
                    if !passed(ctx, &self.groups.recorders, topics::CREATED, &ends_of_created).await? {
                        self.stage = Stage::Recorded(found, ends_of_created);
                        return Ok(0);
                    }
                    if ctx.db.object_removals().release_potential_orphans(found.potential_orphans).await? > 0
                    {
                        ctx.removals.notify_one();
                    }
                    return republish(ctx, found.candidates).await;
                }
            }
        }
    }
}

/// A topic that is not there has no records.
async fn ends(ctx: &ServeContext, topic: &str) -> Result<Vec<Watermarks>> {
    match ctx.broker.watermarks(topic).await {
        Err(BrokerError::UnknownTopic(_)) => Ok(Vec::new()),
        ends => Ok(ends?),
    }
}

/// Tells whether the group has nothing left to do below `ends`: it has committed that far, or what lay there is gone.
async fn passed(ctx: &ServeContext, group: &str, topic: &str, ends: &[Watermarks]) -> Result<bool> {
    let now: BTreeMap<i32, Watermarks> =
        self::ends(ctx, topic).await?.into_iter().map(|marks| (marks.partition, marks)).collect();
    let committed = match ctx.broker.committed(group, topic).await {
        Err(BrokerError::UnknownTopic(_)) => BTreeMap::new(),
        committed => committed?,
    };
    for end in ends {
        let Some(now) = now.get(&end.partition) else { continue };
        // Retention or a recreated topic may have removed what lay below the end that was read.
        let is_gone = now.low >= end.high || now.high < end.high;
        let next = committed.get(&end.partition).copied().unwrap_or(0).max(now.low);
        if !is_gone && next < end.high && !nothing_is_left(ctx, topic, now, next, end.high).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells whether there are only transaction markers, aborted and compacted records from `next` up to `end`: nothing that
/// a consumer would be given, and so nothing that it would commit.
async fn nothing_is_left(
    ctx: &ServeContext,
    topic: &str,
    now: &Watermarks,
    next: i64,
    end: i64,
) -> Result<bool> {
    if now.stable < end {
        return Ok(false);
    }
    let from = Position { topic: topic.into(), partition: now.partition, offset: next };
    let first = ctx.broker.read(&from, 1).await?;
    Ok(first.first().is_none_or(|record| record.position.offset >= end))
}

/// Republishes the requests of those candidates that have not changed since.
async fn republish(ctx: &ServeContext, candidates: Candidates) -> Result<usize> {
    const BATCH: usize = 500;
    let ids: Vec<FileId> = candidates.keys().copied().collect();
    let mut count = 0;
    for ids in ids.chunks(BATCH) {
        count += transition::transition_each(&ctx.db, &ctx.events, ids.to_vec(), |file| {
            if candidates.get(&file.id) != Some(&file.revision()) {
                return None;
            }
            if file.attempt < MAX_ATTEMPTS {
                return Some((Transition::Republish, Details::default()));
            }
            let error = Some("its request got lost too often".to_owned());
            Some((Transition::Fail, Details { error, ..Details::default() }))
        })
        .await?;
    }
    Ok(count)
}
