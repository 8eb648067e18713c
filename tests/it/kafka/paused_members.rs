//! Workers that are paused past their session timeout and resume work that others have done meanwhile.

use std::time::Duration;

use filesys::domain::messages::topics;
use nix::sys::signal::Signal;

use super::cluster::{Cluster, PATIENCE, SESSION, SHORT_SESSION, WORKERS, all_completed, ask, assignments};
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::{eventually_within, holds};

/// Point at which a worker is paused: crash point, last log line before it, processing delay.
struct PausePoint {
    point: &'static str,
    line: &'static str,
    delay: &'static str,
}

const PAUSE_POINTS: [PausePoint; 3] = [
    PausePoint { point: "worker.fetched", line: "processing started", delay: "1000" },
    PausePoint { point: "worker.stored", line: "object stored", delay: "0" },
    PausePoint { point: "consumer.committing", line: "result published", delay: "0" },
];

/// Number of paused workers that are sure to publish a result when they resume: only some builds have crash points.
const LATE: usize = if cfg!(feature = "chaos") { 2 } else { 1 };

fn pausing_worker(cluster: &Cluster, pause: &PausePoint) -> Process {
    let faults = format!("{}=stop@#1", pause.point);
    let settings = [
        SHORT_SESSION,
        ("KAFKA_CLIENT_ID", pause.point),
        ("PROCESSING_DELAY_MS", pause.delay),
        ("FILESYS_FAULTS", &faults),
    ];
    cluster.processes.worker(1, &settings)
}

async fn wait_until_paused(worker: &Process, pause: &PausePoint) {
    eventually_within(PATIENCE, pause.point, async || {
        if !cfg!(feature = "chaos") && worker.log().contains(pause.line) {
            worker.signal(Signal::SIGSTOP);
        }
        holds(worker.is_stopped(), worker.log())
    })
    .await;
}

/// Files that it has completed, by its log from this position on.
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
    let paused_workers = PAUSE_POINTS.each_ref().map(|pause| pausing_worker(&cluster, pause));
    cluster.shares(WORKERS, &[1, 1, 1]).await;
    let awake = cluster.processes.worker(1, &[SHORT_SESSION, ("KAFKA_CLIENT_ID", "awake")]);
    cluster.shares(WORKERS, &[0, 1, 1, 1]).await;
    assert!(!awake.log().contains("partitions assigned"), "the paused workers have them all");

    ask(&api, FILES).await;
    for (paused_worker, pause) in paused_workers.iter().zip(&PAUSE_POINTS) {
        wait_until_paused(paused_worker, pause).await;
    }
    let paused_at = paused_workers.each_ref().map(|paused_worker| paused_worker.log().len());
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
    eprintln!("all are paused, {taken:?} later all is taken over, {:?} later done", began.elapsed());
    assert!(paused_workers.iter().all(Process::is_stopped));
    assert!(taken < SESSION + Duration::from_secs(14), "{taken:?}");
    let before = api.all_files("/files?limit=200").await;
    let told = serve.log().len();

    for paused_worker in &paused_workers {
        paused_worker.signal(Signal::SIGCONT);
    }
    for ((paused_worker, pause), from) in paused_workers.iter().zip(&PAUSE_POINTS).zip(paused_at).take(LATE) {
        eventually_within(PATIENCE, &format!("{}: its result is dropped", pause.point), async || {
            let (paused_worker, serve) = (paused_worker.log(), serve.log());
            let dropped = |id: &str| {
                let is_it =
                    |line: &&str| line.contains("result ignored") && line.contains("result=Completed");
                let mut ignored = serve[told..].lines().filter(is_it);
                ignored.any(|line| line.contains(&format!("file_id={id} ")))
            };
            holds(made(&paused_worker[from..]).any(dropped), &paused_worker[from..])
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
    for worker in paused_workers.into_iter().chain([awake]) {
        worker.stop_within(STOP_LIMIT).await;
    }
    serve.stop_within(STOP_LIMIT).await;
}
