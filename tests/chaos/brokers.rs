//! A cluster of three brokers under load that are lost, restarted and reassigned, and the gaps between completions.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::load::Load;
use crate::load::watch::Watch;
use crate::mixed::{self, Options, READERS};
use crate::report::Report;
use crate::stage::{Services, Setup, Stage};
use crate::support::own::Own;
use crate::verify::Violation;

/// Before, between and after the faults.
const STEADY: Duration = Duration::from_secs(8);
/// Time for which a lost broker stays down.
const AWAY: Duration = Duration::from_secs(10);
/// With 9 s until the cluster misses a broker, up to 3 s more where that was the active controller, and time to find out who
/// leads now.
const LONGEST_GAP: f64 = 15.0;

const TOPICS: [&str; 4] = ["file.create", "file.created", "file.events", "file.create.dlq"];

/// Faults of the cluster, in order.
const FAULTS: [&str; 9] = [
    "kill broker 1",
    "kill broker 2",
    "kill broker 3",
    "restart broker 1",
    "restart broker 2",
    "restart broker 3",
    "reassign partitions",
    "too few replicas",
    "elect preferred leaders",
];

/// Fault, from its beginning to that of the next, in seconds of the load.
struct Phase {
    name: &'static str,
    from: f64,
    to: f64,
}

pub async fn run(options: &Options, folder: &Path) -> Report {
    let began = Instant::now();
    let mut report = Report::new(options.setup.seed, folder);
    let setup = Setup { crash_every: 0, ..options.setup.clone() };
    let stage = Stage::set(setup, Services::with_brokers(folder).await, folder).await;
    let [no_more, watched] = [(); 2].map(|()| CancellationToken::new());
    let load = Load::start(mixed::plan(options, &stage), no_more.clone());
    let watch = Watch::start(&load, READERS, watched.clone());
    let since = Instant::now();
    sleep(STEADY).await;
    let mut phases = vec![Phase { name: "nothing", from: 0.0, to: 0.0 }];
    for name in FAULTS {
        let from = since.elapsed().as_secs_f64();
        if let Some(last) = phases.last_mut() {
            last.to = from;
        }
        phases.push(Phase { name, from, to: f64::INFINITY });
        stage.log(name);
        inject(name, &stage.services.kafka, folder).await;
        stage.log("healed");
        *report.done.faults.entry(name).or_default() += 1;
        sleep(STEADY).await;
    }
    no_more.cancel();
    report.counts = load.finish().await;
    stage.log("the load is over");
    watched.cancel();
    report.watched = watch.finish().await;
    mixed::verify_all(&stage, options.drain_limit, &mut report).await;
    timeline(&stage.services.completions().await, &phases, &mut report);
    report.look_at(&stage);
    report.took = began.elapsed();
    report
}

async fn inject(name: &str, kafka: &Own, folder: &Path) {
    match name.rsplit_once("broker ") {
        Some(("kill ", number)) => {
            kafka.run(&["kill", "--broker", number]).await;
            sleep(AWAY).await;
            kafka.run(&["start", "--broker", number]).await;
        }
        Some((_, number)) => drop(kafka.run(&["restart", "--broker", number]).await),
        None if name == "reassign partitions" => reassign(kafka, folder).await,
        None if name == "too few replicas" => {
            set_min_in_sync(kafka, 3).await;
            kafka.broker("kill", 2).await;
            sleep(AWAY).await;
            kafka.broker("start", 2).await;
            set_min_in_sync(kafka, 2).await;
        }
        None => {
            let elect = ["tool", "leader-election", "--election-type", "preferred", "--all-topic-partitions"];
            kafka.run(&elect).await;
        }
    }
}

async fn set_min_in_sync(kafka: &Own, count: usize) {
    let config = format!("min.insync.replicas={count}");
    for topic in TOPICS {
        let alter = ["tool", "configs", "--alter", "--topic", topic, "--add-config", &config];
        kafka.run(&alter).await;
    }
}

/// Reassigns each partition with another order of replicas, and so another preferred leader.
async fn reassign(kafka: &Own, folder: &Path) {
    let partitions = TOPICS.iter().flat_map(|topic| {
        (0..3).map(move |partition| {
            let replicas = [0, 1, 2].map(|place| (partition + place + 1) % 3 + 1);
            serde_json::json!({ "topic": topic, "partition": partition, "replicas": replicas })
        })
    });
    let partitions: Vec<_> = partitions.collect();
    let file = folder.join("reassignment.json");
    std::fs::write(&file, serde_json::json!({ "version": 1, "partitions": partitions }).to_string()).unwrap();
    let file = file.to_str().unwrap();
    kafka.run(&["tool", "reassign-partitions", "--reassignment-json-file", file, "--execute"]).await;
}

/// Prints the figures of each phase, and reports gaps as violations.
fn timeline(completions: &[(f64, f64)], phases: &[Phase], report: &mut Report) {
    println!(
        "  {:<24} {:>9} {:>10} {:>11} {:>8} {:>8}",
        "", "accepted", "completed", "longest gap", "p50", "p99"
    );
    let done: Vec<f64> = completions.iter().map(|(_, done)| *done).collect();
    for Phase { name, from, to } in phases {
        let is_in = |at: f64| (*from..*to).contains(&at);
        let mut took: Vec<f64> = completions
            .iter()
            .filter(|(created, _)| is_in(*created))
            .map(|(created, done)| done - created)
            .collect();
        took.sort_unstable_by(f64::total_cmp);
        let gap =
            done.windows(2).filter(|pair| is_in(pair[0])).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        let completed = done.iter().filter(|at| is_in(**at)).count();
        let share = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        println!(
            "  {name:<24} {:>9} {completed:>10} {gap:>9.1} s {:>6.2} s {:>6.2} s",
            took.len(),
            share(50),
            share(99),
        );
        // With too few replicas nothing can be published until the broker is back.
        if gap > LONGEST_GAP && *name != "too few replicas" {
            let detail = format!("{name}: no file was completed for {gap:.1} s");
            report.violations.push(Violation { invariant: "I10", check: "no-progress", detail });
        }
    }
}
