//! The checker must be seen to fail: nine bugs, one by one, each with the faults that bring it out; and everything that
//! a clean run left behind, broken one thing at a time.

use std::path::Path;
use std::time::Duration;

use filesys::config::faults::Plant;

use crate::faults::Kind;
use crate::mixed::{self, Options};
use crate::report::Report;
use crate::stage::{Services, Setup};
use crate::verify;

/// How a bug is brought out, and how it shows.
struct Trap {
    faults: &'static [Kind],
    /// What roles do at which step, in all their lives.
    points: &'static str,
    /// Checks of which one must find it: others may fail for want of time.
    checks: &'static [&'static str],
}

const fn trap(bug: Plant) -> Trap {
    match bug {
        // Fetched and committed, and then the worker is gone.
        Plant::CommitBeforeDone => Trap {
            faults: &[Kind::KillWorker],
            points: "worker.fetched=delay:1500@0.8",
            checks: &["request-unanswered", "republished"],
        },
        Plant::ProduceOutsideTransaction => Trap {
            faults: &[],
            points: "serve.committed=kill@0.05",
            checks: &["request-missing", "event-missing"],
        },
        // Transactions that commit in another order than they took their numbers.
        Plant::LastSeenRelay => Trap {
            faults: &[],
            points: "serve.inserted=delay:150@0.3;moves.written=delay:100@0.3",
            checks: &["outbox-left"],
        },
        Plant::ClockInKey => Trap { faults: &[], points: "", checks: &["location-not-its-own", "orphan"] },
        Plant::CompletedBeforePut => {
            Trap { faults: &[], points: "worker.generated=delay:1500@0.3", checks: &["completed-not-there"] }
        }
        Plant::UnguardedUpdate => {
            Trap { faults: &[Kind::Duplicates], points: "", checks: &["illegal-transition", "two-outcomes"] }
        }
        Plant::PoisonSkipped => {
            Trap { faults: &[Kind::Poison], points: "", checks: &["poison-without-dead-letter"] }
        }
        Plant::RetryForEver => Trap { faults: &[Kind::Poison], points: "", checks: &["not-committed"] },
        Plant::LocationTrusted => Trap {
            faults: &[Kind::Forged],
            points: "worker.generated=delay:1500@0.5",
            checks: &["location-not-its-own"],
        },
    }
}

/// `planted`: with the bug; otherwise the same without it.
fn options(seed: u64, bug: Plant, planted: bool) -> Options {
    let Trap { faults, points, .. } = trap(bug);
    let mut setup = Setup::new(seed);
    setup.settings.push(("FILESYS_FAULTS".to_owned(), points.to_owned()));
    if planted {
        setup.settings.push(("FILESYS_PLANT".to_owned(), bug.name().to_owned()));
    }
    // Killed while they join, workers have nothing in hand; the group takes a session to get over it.
    let long = if faults.contains(&Kind::KillWorker) { 3 } else { 1 };
    Options {
        setup,
        requests: 300 * long,
        concurrency: 8,
        rate: Some(40),
        seconds: Some(7 * long),
        rounds: None,
        kinds: faults.to_vec(),
        drain_limit: Duration::from_secs(if planted { 6 } else { 60 }),
    }
}

/// Whether the verifier sees what is broken behind the back of everybody, and nothing else.
pub async fn self_test(seed: u64, folder: &Path) -> bool {
    let options = Options {
        setup: Setup::new(seed),
        requests: 250,
        concurrency: 8,
        rate: Some(40),
        seconds: Some(30),
        rounds: None,
        kinds: Vec::new(),
        drain_limit: Duration::from_mins(1),
    };
    // The roles have ended, the services have not.
    let (report, _services) = mixed::run(&options, Services::start(folder).await, folder).await;
    if !report.is_clean() {
        println!("{report}");
        return false;
    }
    let evidence = report.evidence.expect("every run has it");
    let trials = verify::self_test::self_test(&evidence).await;
    for trial in &trials {
        let verdict = if trial.passed { "seen" } else { "NOT SEEN AS EXPECTED" };
        println!("{verdict}: {}", trial.broke);
        if !trial.passed {
            println!("  expected {:?}, reported {:?}", trial.expected, trial.reported);
        }
    }
    trials.iter().all(|trial| trial.passed)
}

/// Whether each of them was caught; with `controls`, and the same runs without them were clean.
pub async fn run(seed: u64, bugs: &[Plant], controls: bool, folder: &Path) -> bool {
    let mut lines = Vec::new();
    let mut good = true;
    let mut services = Services::start(folder).await;
    for bug in bugs {
        let name = bug.name();
        println!("{name}");
        let report;
        (report, services) = one(seed, *bug, true, services, folder).await;
        let by: Vec<&str> = report.violations.iter().map(|found| found.check).collect();
        let checks = trap(*bug).checks.iter().filter(|check| by.contains(*check));
        let checks = checks.copied().collect::<Vec<_>>().join(", ");
        good &= !checks.is_empty();
        let others = report.caught_by().join(", ");
        let verdict =
            if checks.is_empty() { format!("NOT CAUGHT ({others})") } else { format!("caught by {checks}") };
        lines.push(format!("{name:<28} {:>5.1} s  {verdict}", report.took.as_secs_f64()));
        if controls {
            println!("without {name}");
            let report;
            (report, services) = one(seed, *bug, false, services, folder).await;
            if !report.is_clean() {
                good = false;
                lines.push(format!("{name:<28} without it NOT CLEAN: {}", report.caught_by().join(", ")));
                println!("{report}");
            }
        }
    }
    println!("\nplanted bugs, and what caught them");
    println!("{}", lines.join("\n"));
    good
}

async fn one(
    seed: u64,
    bug: Plant,
    planted: bool,
    mut services: Services,
    folder: &Path,
) -> (Report, Services) {
    let name = if planted { bug.name().to_owned() } else { format!("without-{}", bug.name()) };
    services.switch_to(&name).await;
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let (report, services) = mixed::run(&options(seed, bug, planted), services, &folder).await;
    report.write(&folder.join("report.json"));
    (report, services)
}
