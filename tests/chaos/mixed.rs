//! Mixed run: load and faults side by side; then everything is healed, drained and verified.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::faults::{Kind, Schedule, progress_limit};
use crate::load::watch::Watch;
use crate::load::{Load, Plan};
use crate::report::Report;
use crate::stage::{Role, Services, Setup, Stage};
use crate::verify::{Violation, drained, verify};

/// Options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    pub setup: Setup,
    pub requests: u64,
    pub concurrency: usize,
    pub rate: Option<u32>,
    /// Time limit of the load.
    pub seconds: Option<u64>,
    /// Number of times that every kind of fault is injected.
    pub rounds: Option<usize>,
    pub kinds: Vec<Kind>,
    pub drain_limit: Duration,
}

/// Number of clients that read files back.
pub const READERS: usize = 2;
/// Interval at which the end of the load is looked for.
const INTERVAL: Duration = Duration::from_millis(100);

pub async fn run(options: &Options, services: Services, folder: &Path) -> (Report, Services) {
    let began = Instant::now();
    let mut report = Report::new(options.setup.seed, folder);
    let stage = Stage::set(options.setup.clone(), services, folder).await;

    let [no_more, quiet, watched] = [(); 3].map(|()| CancellationToken::new());
    let mut load = Load::start(plan(options, &stage), no_more.clone());
    let watch = Watch::start(&load, READERS, watched.clone());
    let schedule = Schedule::new(&options.kinds, options.setup.seed, options.rounds);
    let since = Instant::now();
    let is_over = || options.seconds.is_some_and(|limit| since.elapsed().as_secs() >= limit);
    let loading = async {
        while !load.is_done() && !is_over() && !quiet.is_cancelled() {
            tokio::time::sleep(INTERVAL).await;
        }
        no_more.cancel();
        quiet.cancel();
    };
    let (done, ()) = tokio::join!(schedule.run(&stage, &quiet), loading);
    report.done = done;

    stage.log("the faults are over");
    stage.services.pass();
    if options.setup.crash_every > 0 {
        restart_without_crashes(&stage).await;
    }
    report.counts = load.counts();
    // Clients wait longer for a file that is stuck than a planted bug is worth.
    if let Ok(counts) = timeout(options.drain_limit, load.finish()).await {
        report.counts = counts;
    }
    stage.log("the load is over");
    watched.cancel();
    report.watched = watch.finish().await;
    verify_all(&stage, options.drain_limit, &mut report).await;
    report.look_at(&stage);
    report.took = began.elapsed();
    (report, stage.leave())
}

pub fn plan(options: &Options, stage: &Stage) -> Plan {
    Plan {
        addresses: stage.roles.addresses(),
        requests: options.requests,
        concurrency: options.concurrency,
        rate: options.rate,
        seed: options.setup.seed,
        journal: stage.journal(),
    }
}

/// Restarts the roles without crash points.
async fn restart_without_crashes(stage: &Stage) {
    stage.roles.crash_no_more();
    let starts: Vec<u64> = stage.roles.all().map(Role::starts).collect();
    stage.roles.all().for_each(Role::terminate);
    for (role, starts) in stage.roles.all().zip(starts) {
        role.started_since(starts).await;
    }
    stage.roles.ready().await;
}

/// Waits until everything has drained, then verifies it.
pub async fn verify_all(stage: &Stage, limit: Duration, report: &mut Report) {
    let evidence = stage.evidence();
    match drained(&evidence, limit).await {
        Ok(took) => {
            report.drained = Some(took);
            stage.log("drained");
        }
        Err(stuck) => {
            report.violations.extend(stuck);
            // A file that changes during verification would be read in two states.
            stage.roles.hold_still();
            stage.log("not drained; the roles stand still");
        }
    }
    let verified = verify(&evidence).await;
    stage.log("verified");
    report.counted = verified.counted;
    report.violations.extend(verified.violations);
    report.violations.extend(report.watched.violations.clone());
    if report.violations.is_empty() {
        // A hundred files a second at least.
        let limit = Duration::from_secs(300 + report.counted.rows / 100);
        let fsck = stage.run_to_its_end(&["fsck", "--checksums", "all", "--grace", "0s"], limit).await;
        let disagrees = |detail| Violation { invariant: "I4", check: "fsck-disagrees", detail };
        report.violations.extend(fsck.err().map(disagrees));
    }
    let limit = progress_limit(stage.crash_every);
    for kind in &report.done.without_progress {
        let detail = format!("after {kind} no file was completed within {limit:?}");
        report.violations.push(Violation { invariant: "I10", check: "no-progress", detail });
    }
    report.violations.extend(stage.complaints());
}
