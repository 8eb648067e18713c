//! Background loops of `serve`, one file for each; [`ALL`] lists them.
//!
//! Any number of processes may run each job at once: they share out the rows among them, or repeat what does no harm.

mod apply_retention;
pub mod commit_requests;
mod compact_counts;
mod expire_files;
mod expire_idempotency_keys;
mod expire_uploads;
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

/// Context of the jobs of one process.
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
    /// Longest time between two runs; most jobs also run when they are notified.
    pub interval: Duration,
    start: fn(JobContext, Duration, CancellationToken) -> BoxFuture<'static, ()>,
}

impl Job {
    /// Runs the job until `stop`.
    pub fn run(&self, ctx: JobContext, stop: CancellationToken) -> BoxFuture<'static, ()> {
        (self.start)(ctx, self.interval, stop)
    }
}

/// Every job that runs until the process stops. `commit_requests` is not among them: it ends earlier, with the HTTP server,
/// so that what it commits last is still published.
pub const ALL: [Job; 10] = [
    Job {
        name: "relay-outbox",
        // A notification may get lost, and another process may have left rows.
        interval: Duration::from_secs(1),
        start: |ctx, interval, stop| relay_outbox::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "listen-for-outbox",
        // Time until the next connection when one breaks.
        interval: Duration::from_secs(2),
        start: |ctx, interval, stop| listen_for_outbox::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "expire-files",
        interval: Duration::from_secs(10),
        start: |ctx, interval, stop| expire_files::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "recover-lost-requests",
        interval: Duration::from_secs(10),
        start: |ctx, interval, stop| {
            recover_lost_requests::run(ctx.serve, ctx.groups, interval, stop).boxed()
        },
    },
    Job {
        name: "remove-objects",
        // Removals of other processes, and postponed ones.
        interval: Duration::from_secs(5),
        start: |ctx, interval, stop| remove_objects::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "compact-counts",
        interval: Duration::from_secs(5),
        start: |ctx, interval, stop| compact_counts::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "expire-uploads",
        interval: Duration::from_secs(5),
        start: |ctx, interval, stop| expire_uploads::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "expire-idempotency-keys",
        interval: Duration::from_mins(10),
        start: |ctx, interval, stop| expire_idempotency_keys::run(ctx.serve, interval, stop).boxed(),
    },
    Job {
        name: "apply-retention",
        // Sooner where something is kept for less than a hundred minutes: a tenth of that.
        interval: Duration::from_mins(10),
        start: |ctx, interval, stop| apply_retention::run(ctx.serve, ctx.retention, interval, stop).boxed(),
    },
    Job {
        name: "provision",
        // Until topics and bucket exist, each second.
        interval: Duration::from_secs(10),
        start: |ctx, interval, stop| provision::run(ctx.serve, ctx.topic_partitions, interval, stop).boxed(),
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
