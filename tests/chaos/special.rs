//! Runs with one fault: a long outage of a service, a lost log, an upgrade.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::load::watch::Watch;
use crate::mixed::{self, Options, READERS};
use crate::proxy::tcp::Mode;
use crate::report::Report;
use crate::stage::{Role, Roles, Services, Setup, Stage};
use crate::verify::Violation;

/// Time of steady load before and after.
const STEADY: Duration = Duration::from_secs(15);
/// Time in which every file that was unfinished when the log was lost is published again and made.
const REPUBLISHED: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    Kafka,
    S3,
}

#[derive(Debug, Clone)]
pub enum Special {
    /// Requests are accepted all the while.
    Without(Service, Duration),
    /// Kafka comes back without its log.
    WipeKafka,
    /// From that executable to this one and back, role by role.
    Previous(PathBuf),
}

pub async fn run(special: &Special, options: &Options, folder: &Path) -> Report {
    let began = Instant::now();
    let mut report = Report::new(options.setup.seed, folder);
    let mut setup = Setup { crash_every: 0, ..options.setup.clone() };
    match special {
        Special::Without(..) => {}
        // Many requests wait in Kafka when it happens.
        Special::WipeKafka => setup.settings.push(("PROCESSING_DELAY_MS".to_owned(), "1500".to_owned())),
        Special::Previous(program) => setup.program.clone_from(program),
    }
    let mut stage = Stage::set(setup, Services::start(folder).await, folder).await;
    let [no_more, watched] = [(); 2].map(|()| CancellationToken::new());
    let load = Load::start(mixed::plan(options, &stage), no_more.clone());
    let watch = Watch::start(&load, READERS, watched.clone());
    let since = Instant::now();
    sleep(STEADY).await;
    match special {
        Special::Without(service, time) => {
            let from = since.elapsed();
            stage.log(&format!("{service:?} goes away"));
            away(&stage, *service, *time).await;
            stage.log(&format!("{service:?} is back"));
            report.outage = Some((from, since.elapsed()));
        }
        Special::WipeKafka => wipe(&mut stage, &mut report).await,
        Special::Previous(previous) => upgrade(&stage, previous, &options.setup.program, &mut report).await,
    }
    sleep(STEADY).await;
    no_more.cancel();
    report.counts = load.finish().await;
    stage.log("the load is over");
    watched.cancel();
    report.watched = watch.finish().await;
    if let Some((from, to)) = report.outage {
        let available = report.counts.availability_between(from, to);
        if available < 100.0 {
            let detail = format!("{available:.2} % of POSTs were answered 201 while it was away");
            report.violations.push(Violation { invariant: "I10", check: "creating-stopped", detail });
        }
    }
    mixed::verify_all(&stage, options.drain_limit, &mut report).await;
    report.look_at(&stage);
    report.took = began.elapsed();
    report
}

async fn away(stage: &Stage, service: Service, time: Duration) {
    let services = &stage.services;
    match service {
        Service::Kafka => {
            services.kafka.kill().await;
            sleep(time).await;
            services.kafka.start_again().await;
        }
        Service::S3 => {
            services.s3_port.set(Mode::Refuse);
            sleep(time).await;
            services.s3_port.set(Mode::Pass);
        }
    }
}

async fn wipe(stage: &mut Stage, report: &mut Report) {
    stage.log("Kafka loses its log");
    stage.log_lost = true;
    stage.services.wipe_kafka().await;
    let lost = stage.services.newest_files(1_000_000).await;
    stage.log(&format!("Kafka is back, {} files were unfinished", lost.len()));
    let since = Instant::now();
    let mut left = lost.len();
    while left > 0 && since.elapsed() < REPUBLISHED {
        sleep(Duration::from_millis(500)).await;
        let unfinished = stage.services.newest_files(1_000_000).await;
        left = lost.iter().filter(|id| unfinished.contains(id)).count();
    }
    stage.log(&format!("{left} of them are unfinished"));
    let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.done.recoveries.entry("wipe-kafka").or_default().push(millis);
    *report.done.faults.entry("wipe-kafka").or_default() += 1;
    if left > 0 {
        let detail = format!("{left} files are unfinished {REPUBLISHED:?} after the log was lost");
        report.violations.push(Violation { invariant: "I10", check: "not-republished", detail });
    }
}

async fn upgrade(stage: &Stage, previous: &Path, next: &Path, report: &mut Report) {
    stage.log("ten migrate at once");
    let migrations = (0..10).map(|_| stage.run_to_its_end(&["migrate"], Duration::from_mins(5)));
    for outcome in futures_util::future::join_all(migrations).await {
        *report.done.faults.entry("migrate").or_default() += 1;
        if let Err(detail) = outcome {
            report.violations.push(Violation { invariant: "I10", check: "migrate-failed", detail });
        }
    }
    for (program, name) in [(next, "upgrade"), (previous, "back"), (next, "upgrade")] {
        stage.log(name);
        *report.done.faults.entry("role replaced").or_default() += replace(&stage.roles, program).await;
    }
}

/// Replaces the roles one after the other with SIGTERM; returns their number.
async fn replace(roles: &Roles, program: &Path) -> u64 {
    let mut count = 0;
    for role in roles.all() {
        let starts = role.starts();
        role.use_program(program);
        Role::terminate(role);
        role.started_since(starts).await;
        roles.ready().await;
        sleep(Duration::from_secs(2)).await;
        count += 1;
    }
    count
}
