//! Background loops of `serve`, one file for each; [`ALL`] lists them.
//!
//! Any number of processes may run each job at once: they share out the rows among them, or repeat what does no harm.

mod apply_retention;
pub mod commit_requests;
mod compact_counts;
mod expire_files;
mod expire_idempotency_keys;
mod listen_for_outbox;
mod provision;
pub mod recover_lost_requests;
pub mod relay_outbox;
pub mod remove_objects;

use std::fmt::Display;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::actions::ServeContext;
use crate::config::RetentionConfig;
use crate::telemetry::Outage;

pub use apply_retention::apply as apply_retention;

/// What the jobs of one process work with.
#[derive(Clone)]
pub struct JobContext {
    pub serve: ServeContext,
    pub groups: recover_lost_requests::Groups,
    pub retention: RetentionConfig,
    /// Partitions of topics that have to be created.
    pub topic_partitions: i32,
}

/// A background loop.
pub struct Job {
    pub name: &'static str,
    /// Longest time between two runs; `None` for a job that only reacts to notifications. Most also run when woken.
    pub interval: Option<Duration>,
    start: fn(JobContext, CancellationToken) -> BoxFuture<'static, ()>,
}

impl Job {
    /// Runs the job until `stop`.
    pub fn run(&self, ctx: JobContext, stop: CancellationToken) -> BoxFuture<'static, ()> {
        (self.start)(ctx, stop)
    }
}

/// Every job that runs until the process stops. `commit_requests` is not among them: it ends earlier, with the HTTP server,
/// so that what it commits last is still published.
pub const ALL: [Job; 9] = [
    Job {
        name: "relay-outbox",
        interval: Some(relay_outbox::POLL_INTERVAL),
        start: |ctx, stop| relay_outbox::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "listen-for-outbox",
        interval: None,
        start: |ctx, stop| listen_for_outbox::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "expire-files",
        interval: Some(expire_files::INTERVAL),
        start: |ctx, stop| expire_files::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "recover-lost-requests",
        interval: Some(recover_lost_requests::INTERVAL),
        start: |ctx, stop| recover_lost_requests::run(ctx.serve, ctx.groups, stop).boxed(),
    },
    Job {
        name: "remove-objects",
        interval: Some(remove_objects::POLL_INTERVAL),
        start: |ctx, stop| remove_objects::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "compact-counts",
        interval: Some(compact_counts::INTERVAL),
        start: |ctx, stop| compact_counts::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "expire-idempotency-keys",
        interval: Some(expire_idempotency_keys::INTERVAL),
        start: |ctx, stop| expire_idempotency_keys::run(ctx.serve, stop).boxed(),
    },
    Job {
        name: "apply-retention",
        interval: Some(apply_retention::MAX_INTERVAL),
        start: |ctx, stop| apply_retention::run(ctx.serve, ctx.retention, stop).boxed(),
    },
    Job {
        name: "provision",
        interval: Some(provision::INTERVAL),
        start: |ctx, stop| provision::run(ctx.serve, ctx.topic_partitions, stop).boxed(),
    },
];

/// Does `work` at once and then at each interval until `stop`. Logs when it begins to fail and when it works again.
async fn repeat<F, E>(
    interval: Duration,
    stop: &CancellationToken,
    fails: &'static str,
    recovered: &'static str,
    work: impl Fn() -> F,
) where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let outage = Outage::new(fails, recovered);
    let mut interval = tokio::time::interval(interval);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        match stop.run_until_cancelled(work()).await {
            None => return,
            Some(Ok(())) => outage.works(),
            Some(Err(error)) => outage.fails(error),
        }
    }
}
