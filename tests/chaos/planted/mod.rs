//! Test of the chaos tests: nine planted bugs, each run with the faults that bring it out, and everything that a clean run
//! left behind, broken one thing at a time.

mod bug;
mod build;

use std::path::Path;
use std::time::Duration;

pub use self::bug::Bug;
pub use self::build::build;
use crate::faults::Kind;
use crate::mixed::{self, Options};
use crate::report::Report;
use crate::stage::{Services, Setup};
use crate::verify;

/// Faults that bring a bug out, and the checks that catch it.
struct Scenario {
    faults: &'static [Kind],
    /// Crash points of the roles, in all their lives.
    points: &'static str,
    /// Checks of which one must report it: others may fail as the run is short.
    checks: &'static [&'static str],
}

const fn scenario(bug: Bug) -> Scenario {
    match bug {
        // Fetched and committed, and then the worker is gone.
        Bug::CommitBeforeDone => Scenario {
            faults: &[Kind::KillWorker],
            points: "worker.fetched=delay:1500@0.8",
            checks: &["request-unanswered", "republished"],
        },
        Bug::ProduceOutsideTransaction => Scenario {
            faults: &[],
            points: "serve.committed=kill@0.05",
            checks: &["request-missing", "event-missing"],
        },
        // Transactions that commit in another order than they took their numbers.
        Bug::LastSeenRelay => Scenario {
            faults: &[],
            points: "serve.inserted=delay:150@0.3;transitions.written=delay:100@0.3",
            checks: &["outbox-left"],
        },
        Bug::ClockInKey => Scenario { faults: &[], points: "", checks: &["location-not-its-own", "orphan"] },
        Bug::CompletedBeforePut => Scenario {
            faults: &[],
            points: "worker.generated=delay:1500@0.3",
            checks: &["completed-not-there"],
        },
        Bug::UnguardedUpdate => Scenario {
            faults: &[Kind::Duplicates],
            points: "",
            checks: &["illegal-transition", "two-outcomes"],
        },
        Bug::PoisonSkipped => {
            Scenario { faults: &[Kind::Poison], points: "", checks: &["poison-without-dead-letter"] }
        }
        Bug::RetryForEver => Scenario { faults: &[Kind::Poison], points: "", checks: &["not-committed"] },
        Bug::LocationTrusted => Scenario {
            faults: &[Kind::Forged],
            points: "worker.generated=delay:1500@0.5",
            checks: &["location-not-its-own"],
        },
    }
}

/// Setting by which a process of the planted build has the bug.
pub fn setting(bug: Bug) -> (String, String) {
    ("FILESYS_PLANT".to_owned(), bug.name().to_owned())
}

/// Options of a run with the bug, or of the same run without it.
fn options(seed: u64, bug: Bug, planted: bool, program: &Path) -> Options {
    let Scenario { faults, points, .. } = scenario(bug);
    let mut setup = Setup { program: program.to_owned(), ..Setup::new(seed) };
    setup.settings.push(("FILESYS_FAULTS".to_owned(), points.to_owned()));
    if planted {
        setup.settings.push(setting(bug));
    }
    // Workers that are killed while they join have no records yet, and the group needs a session timeout to recover.
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

/// Tells whether the verifier reports what is altered after a clean run, and nothing else.
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
    // The services outlive the roles.
    let (report, _services) = mixed::run(&options, Services::start(folder).await, folder).await;
    if !report.is_clean() {
        println!("{report}");
        return false;
    }
    let evidence = report.evidence.expect("every run has it");
    let trials = verify::self_test::self_test(&evidence).await;
    for trial in &trials {
        let outcome = if trial.passed { "seen" } else { "NOT SEEN AS EXPECTED" };
        println!("{outcome}: {}", trial.broke);
        if !trial.passed {
            println!("  expected {:?}, reported {:?}", trial.expected, trial.reported);
        }
    }
    trials.iter().all(|trial| trial.passed)
}

/// Tells whether each of them was caught and, with `controls`, the same run without it was clean.
pub async fn run(seed: u64, bugs: &[Bug], controls: bool, folder: &Path) -> bool {
    let mut lines = Vec::new();
    let mut good = true;
    let program = build().await;
    let mut services = Services::start(folder).await;
    for bug in bugs {
        let name = bug.name();
        println!("{name}");
        let report;
        (report, services) = run_once(seed, (*bug, true), &program, services, folder).await;
        let by: Vec<&str> = report.violations.iter().map(|found| found.check).collect();
        let checks = scenario(*bug).checks.iter().filter(|check| by.contains(*check));
        let checks = checks.copied().collect::<Vec<_>>().join(", ");
        good &= !checks.is_empty();
        let others = report.caught_by().join(", ");
        let outcome =
            if checks.is_empty() { format!("NOT CAUGHT ({others})") } else { format!("caught by {checks}") };
        lines.push(format!("{name:<28} {:>5.1} s  {outcome}", report.took.as_secs_f64()));
        if controls {
            println!("without {name}");
            let report;
            (report, services) = run_once(seed, (*bug, false), &program, services, folder).await;
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

async fn run_once(
    seed: u64,
    (bug, planted): (Bug, bool),
    program: &Path,
    mut services: Services,
    folder: &Path,
) -> (Report, Services) {
    let name = if planted { bug.name().to_owned() } else { format!("without-{}", bug.name()) };
    services.switch_to(&name).await;
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let (report, services) = mixed::run(&options(seed, bug, planted, program), services, &folder).await;
    report.write(&folder.join("report.json"));
    (report, services)
}
