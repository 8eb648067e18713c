//! Find the files whose request Kafka has lost, and ask for them again.
//!
//! Time alone can't tell a lost request from one that waits its turn, so nothing is guessed. Files that have been
//! quiet for a while are suspects. If each of their requests is in Kafka at all, it lies below the end of `file.create`
//! as read after the suspects. Once the workers' group has come that far, every one of those requests was handled,
//! and its outcome lies below the end of `file.created` as read then. Once our own group has committed that far too,
//! a suspect that still is what it was has no request and no outcome left.
//!
//! By the same reasoning nobody stores the object of a file that had ended before, without one: what is there is removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::actions::files::transition::{self, Details};
use crate::broker::{BrokerError, Position, Watermarks};
use crate::db::moves::Transitions;
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::messages::topics;
use crate::domain::{Attempt, FileId, Result, Revision};

/// How long a file may be quiet before it is a suspect.
const QUIET: Duration = Duration::from_secs(30);
/// Between two looks.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// Suspects of one look; the rest has its turn after them.
const SUSPECTS: i64 = 5000;
/// A request that gets lost time and again is not asked for for ever.
const ATTEMPTS_MAX: Attempt = Attempt(20);

/// The groups whose progress counts, as their members call them.
#[derive(Debug, Clone)]
pub struct Groups {
    pub workers: String,
    pub recorders: String,
}

/// Looks now and then until `stop`.
pub async fn run(ctx: ServeContext, groups: Groups, stop: CancellationToken) {
    let mut search = Search::new(groups, QUIET);
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match search.step(&ctx).await {
            Ok(0) => {}
            Ok(files) => log::warn!(files; "lost requests republished"),
            // Also said, once, by those who have more to do with what is away.
            Err(error) => log::debug!(error:% = error.chain(); "lost requests not looked for"),
        }
    }
}

/// Where a look has got to. Under a backlog it takes as many steps as that takes to drain.
pub struct Search {
    groups: Groups,
    quiet: Duration,
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
    suspects: Suspects,
    /// Removals that wait until nobody stores their objects any more.
    leftovers: Vec<i64>,
}

/// Suspects, as they were when they became suspects.
type Suspects = BTreeMap<FileId, Revision>;

impl Search {
    pub fn new(groups: Groups, quiet: Duration) -> Self {
        Self { groups, quiet, stage: Stage::Idle }
    }

    /// Goes on as far as it can now. Returns how many files were asked for again.
    pub async fn step(&mut self, ctx: &ServeContext) -> Result<usize> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Idle => {
                    let quiet = ctx.db.quiet_files(topics::CREATE, self.quiet, SUSPECTS).await?;
                    let leftovers = ctx.db.leftovers(topics::CREATE, SUSPECTS).await?;
                    if quiet.is_empty() && leftovers.is_empty() {
                        return Ok(0);
                    }
                    let found = Found { suspects: quiet.into_iter().collect(), leftovers };
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
                    if ctx.db.release_leftovers(found.leftovers).await? > 0 {
                        ctx.removals.notify_one();
                    }
                    return ask_again(ctx, found.suspects).await;
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

/// Whether the group has nothing left to do below `ends`: it has committed that far, or what lay there is gone.
async fn passed(ctx: &ServeContext, group: &str, topic: &str, ends: &[Watermarks]) -> Result<bool> {
    let now: BTreeMap<i32, Watermarks> =
        self::ends(ctx, topic).await?.into_iter().map(|marks| (marks.partition, marks)).collect();
    let committed = match ctx.broker.committed(group, topic).await {
        Err(BrokerError::UnknownTopic(_)) => BTreeMap::new(),
        committed => committed?,
    };
    for end in ends {
        let Some(now) = now.get(&end.partition) else { continue };
        let is_gone = now.low >= end.high || now.high < end.high;
        let next = committed.get(&end.partition).copied().unwrap_or(0).max(now.low);
        if !is_gone && next < end.high && !nothing_is_left(ctx, topic, now, next, end.high).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there are only transaction markers, aborted and compacted records from `next` up to `end`: nothing that a consumer
/// would be given, and so nothing that it would commit.
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

/// Republishes the requests of those suspects that have not changed since.
async fn ask_again(ctx: &ServeContext, suspects: Suspects) -> Result<usize> {
    const BATCH: usize = 500;
    let ids: Vec<FileId> = suspects.keys().copied().collect();
    let mut count = 0;
    for ids in ids.chunks(BATCH) {
        let moved = ctx.db.move_files(ids.to_vec(), |files, now| {
            let lost = files.into_iter().filter(|file| suspects.get(&file.id) == Some(&file.revision()));
            let changes: Vec<_> = lost
                .filter_map(|mut file| {
                    let spent = file.attempt >= ATTEMPTS_MAX;
                    let by = if spent { Transition::Fail } else { Transition::Rescue };
                    let Decision::Apply(to) = evaluate(file.state(), by, None) else { return None };
                    let error = spent.then(|| "its request got lost too often".to_owned());
                    Some(transition::apply(&mut file, by, to, now, Details { error, ..Details::default() }))
                })
                .collect();
            let count = changes.len();
            (Transitions { changes, ..Transitions::default() }, count)
        });
        count += moved.await?;
    }
    Ok(count)
}
