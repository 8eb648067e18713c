//! Workers that are paused past their session, and wake up with work in hand that others have done meanwhile.

use std::time::Duration;

use filesys::domain::messages::topics;
use nix::sys::signal::Signal;

use super::cluster::{Cluster, PATIENCE, SESSION, SHORT_SESSION, WORKERS, all_completed, ask, assignments};
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::{eventually_within, holds};

/// Where a worker falls asleep: the crash point, the last line that it logs before, how slow it is.
struct Bed {
    point: &'static str,
    line: &'static str,
    delay: &'static str,
}

const BEDS: [Bed; 3] = [
    Bed { point: "worker.fetched", line: "processing started", delay: "1000" },
    Bed { point: "worker.stored", line: "object stored", delay: "0" },
    Bed { point: "consumer.committing", line: "result published", delay: "0" },
];

/// Number of zombies that are sure to have a result to tell when they wake: only some builds have crash points.
const LATE: usize = if cfg!(feature = "chaos") { 2 } else { 1 };

fn tired(cluster: &Cluster, bed: &Bed) -> Process {
    let faults = format!("{}=stop@#1", bed.point);
    let settings = [
        SHORT_SESSION,
        ("KAFKA_CLIENT_ID", bed.point),
        ("PROCESSING_DELAY_MS", bed.delay),
        ("FILESYS_FAULTS", &faults),
    ];
    cluster.processes.worker(1, &settings)
}

async fn falls_asleep(worker: &Process, bed: &Bed) {
    eventually_within(PATIENCE, bed.point, async || {
        if !cfg!(feature = "chaos") && worker.log().contains(bed.line) {
            worker.signal(Signal::SIGSTOP);
        }
        holds(worker.is_stopped(), worker.log())
    })
    .await;
}

/// The files that it says it has made, from here on in its log.
fn made(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("result published")).map(|line| {
        let id = line.split_once("file_id=").unwrap().1;
        id.split_whitespace().next().unwrap()
    })
}

#[tokio::test]
async fn kafka_workers_that_sleep_past_their_session_change_nothing_when_they_wake_and_work_again() {
    const FILES: usize = 12;
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[SHORT_SESSION]).await;
    let zombies = BEDS.each_ref().map(|bed| tired(&cluster, bed));
    cluster.shares(WORKERS, &[1, 1, 1]).await;
    let awake = cluster.processes.worker(1, &[SHORT_SESSION, ("KAFKA_CLIENT_ID", "awake")]);
    cluster.shares(WORKERS, &[0, 1, 1, 1]).await;
    assert!(!awake.log().contains("partitions assigned"), "the zombies have them all");

    ask(&api, FILES).await;
    for (zombie, bed) in zombies.iter().zip(&BEDS) {
        falls_asleep(zombie, bed).await;
    }
    let asleep = zombies.each_ref().map(|zombie| zombie.log().len());
    let began = tokio::time::Instant::now();
    for partition in 0..3 {
        let name = format!("{}-{partition}", topics::CREATE);
        eventually_within(PATIENCE, &format!("{name} is taken over"), async || {
            let log = awake.log();
            holds(assignments(&log, &name).next().is_some(), &log)
        })
        .await;
    }
    let taken = began.elapsed();
    all_completed(&api).await;
    eprintln!("all are asleep, {taken:?} later all is taken over, {:?} later done", began.elapsed());
    assert!(zombies.iter().all(Process::is_stopped));
    assert!(taken < SESSION + Duration::from_secs(14), "{taken:?}");
    let before = api.all_files("/files?limit=200").await;
    let told = serve.log().len();

    for zombie in &zombies {
        zombie.signal(Signal::SIGCONT);
    }
    for ((zombie, bed), from) in zombies.iter().zip(&BEDS).zip(asleep).take(LATE) {
        eventually_within(PATIENCE, &format!("{}: its result is dropped", bed.point), async || {
            let (zombie, serve) = (zombie.log(), serve.log());
            let dropped = |id: &str| {
                let is_it =
                    |line: &&str| line.contains("result ignored") && line.contains("result=Completed");
                let mut ignored = serve[told..].lines().filter(is_it);
                ignored.any(|line| line.contains(&format!("file_id={id} ")))
            };
            holds(made(&zombie[from..]).any(dropped), &zombie[from..])
        })
        .await;
    }
    assert_eq!(api.all_files("/files?limit=200").await, before, "nothing has changed");
    cluster.assert_made_once(&api).await;

    // They find back to the group by themselves.
    cluster.shares(WORKERS, &[0, 1, 1, 1]).await;
    ask(&api, FILES).await;
    all_completed(&api).await;
    cluster.assert_made_once(&api).await;
    assert_eq!(cluster.no_lag(WORKERS).await, i64::try_from(2 * FILES).unwrap());
    for worker in zombies.into_iter().chain([awake]) {
        worker.stop_within(STOP_LIMIT).await;
    }
    serve.stop_within(STOP_LIMIT).await;
}
