//! Roles that are asked to stop with work in flight: they finish or release it, and a second signal ends them at once.

use std::time::Duration;

use chrono::Utc;
use filesys::domain::messages::topics;
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kafka::cluster::{Cluster, PATIENCE, SHORT_SESSION, WORKERS, all_completed, ask, taken_over};
use crate::support::kafka_tools::GroupMember;
use crate::support::process::{Process, STOP_LIMIT};
use crate::support::raw::Request;
use crate::support::{Api, eventually_within, holds};

/// Members of each of two processes, with one partition each.
const REPLICAS: usize = 5;
const JOBS: usize = 30;
const PARTITIONS: (&str, &str) = ("KAFKA_PARTITIONS", "10");

/// Time limit of the contract from the end of a process to the next owners.
const TAKEN_OVER: Duration = Duration::from_secs(2);
/// Time limit of the contract from the second signal to the end.
const AT_ONCE: Duration = Duration::from_secs(1);

const A_DAY: &str = "86400000";

/// Starts ten members, five in each process, with one partition each.
async fn ten_members(
    cluster: &Cluster,
    leaving: &[(&str, &str)],
    staying: &[(&str, &str)],
) -> (Process, Process, Vec<i32>) {
    let common = [SHORT_SESSION, ("WORKER_CONCURRENCY", "3")];
    let start = |name, more: &[(&str, &str)]| {
        let settings = [&common[..], &[("KAFKA_CLIENT_ID", name)], more].concat();
        cluster.processes.worker(REPLICAS, &settings)
    };
    let (leaving, staying) = (start("leaving", leaving), start("staying", staying));
    let members = cluster.shares(WORKERS, &[1; 2 * REPLICAS]).await;
    let its = |member: &&GroupMember| member.client.starts_with("leaving-");
    let its: Vec<i32> = members.iter().filter(its).flat_map(|member| member.partitions.clone()).collect();
    assert_eq!(its.len(), REPLICAS);
    (leaving, staying, its)
}

fn begun(process: &Process) -> usize {
    process.log().matches("processing started").count()
}

fn ended(process: &Process) -> usize {
    process.log().matches("result published").count()
}

/// Waits until each member has three jobs in flight.
async fn is_busy(process: &Process) {
    eventually_within(PATIENCE, "every member is at work", async || {
        let (begun, ended) = (begun(process), ended(process));
        holds(begun >= JOBS / 2, (begun, ended))
    })
    .await;
}

/// Stops a process with SIGTERM and waits for the next owners; returns its log.
async fn stops(leaving: Process, its: &[i32], staying: &Process) -> String {
    let asked = Utc::now();
    leaving.signal(Signal::SIGTERM);
    let log = leaving.path();
    leaving.succeed_within(STOP_LIMIT).await;
    let ended = (Utc::now() - asked).to_std().unwrap();
    let taken = taken_over(topics::CREATE, its, &[staying], asked).await;
    eprintln!("ended {ended:?} after SIGTERM, all its partitions are taken over after {taken:?}");
    assert!(taken < ended + TAKEN_OVER, "{taken:?}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("worker stopped") && !log.contains("panicked"), "{log}");
    log
}

#[tokio::test]
async fn kafka_workers_that_stop_finish_what_they_have_begun_and_it_is_not_done_again() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[PARTITIONS]).await;
    let slowly = [("PROCESSING_DELAY_MS", "4000")];
    let (leaving, staying, its) = ten_members(&cluster, &slowly, &slowly).await;
    ask(&api, JOBS).await;
    is_busy(&leaving).await;
    let log = stops(leaving, &its, &staying).await;
    assert!(!log.contains("unfinished batches"), "{log}");
    let [begun, ended] = ["processing started", "result published"].map(|line| log.matches(line).count());
    assert_eq!(begun, ended, "what was begun was finished");
    all_completed(&api).await;
    assert_eq!(begun + self::begun(&staying), JOBS, "each was begun once");
    cluster.assert_made_once(&api).await;
    staying.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}

#[tokio::test]
async fn kafka_workers_that_stop_release_what_takes_too_long_and_others_make_it() {
    let Some(cluster) = Cluster::shared().await else { return };
    let (serve, api) = cluster.processes.serve(&[PARTITIONS]).await;
    let endless = [("PROCESSING_DELAY_MS", A_DAY), ("SHUTDOWN_TIMEOUT", "1s")];
    let (leaving, staying, its) = ten_members(&cluster, &endless, &[]).await;
    ask(&api, JOBS).await;
    is_busy(&leaving).await;
    assert_eq!(ended(&leaving), 0);
    let log = stops(leaving, &its, &staying).await;
    assert!(log.contains("stopped with unfinished batches"), "{log}");
    all_completed(&api).await;
    assert_eq!(begun(&staying), JOBS, "theirs and those that were handed back");
    cluster.assert_made_once(&api).await;
    staying.stop_within(STOP_LIMIT).await;
    serve.stop_within(STOP_LIMIT).await;
}

/// Sends a request that waits for a locked table, so that a graceful stop has to wait for it.
async fn request_that_waits(cluster: &Cluster, api: &Api) -> (tokio_postgres::Client, TcpStream) {
    let holder = cluster.processes.ground.database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE files IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    stream.write_all(b"POST /files/1/cancel HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    (holder, stream)
}

#[tokio::test]
async fn kafka_roles_on_their_way_out_are_not_ready_and_end_at_once_when_asked_twice() {
    let Some(cluster) = Cluster::shared().await else { return };
    let never = [("SHUTDOWN_TIMEOUT", "1h"), ("PROCESSING_DELAY_MS", A_DAY)];
    let (serve, api) = cluster.processes.serve(&never).await;
    let worker = cluster.processes.worker(1, &never);
    ask(&api, 3).await;
    eventually_within(PATIENCE, "the worker is at work", async || holds(begun(&worker) == 3, worker.log()))
        .await;
    eventually_within(PATIENCE, "serve is ready", async || {
        let answer = api.get("/readyz").await;
        holds(answer.status == 200, answer)
    })
    .await;
    let dawdling = request_that_waits(&cluster, &api).await;

    serve.notices(Signal::SIGTERM).await;
    // Who still gets through is told so, the others are refused.
    if let Ok(stream) = TcpStream::connect(api.address()).await {
        drop(stream);
        let answer = Request::get("/readyz").send(api.address()).await;
        eprintln!("{answer:?}");
        assert!(answer.is_none_or(|answer| answer.status == 503));
    }
    worker.notices(Signal::SIGTERM).await;
    for (role, process) in [("serve", serve), ("worker", worker)] {
        let after = process.ends_at_once(Signal::SIGTERM).await;
        eprintln!("{role} ends {after:?} after the second signal");
        assert!(after < AT_ONCE, "{role}: {after:?}");
    }
    drop(dawdling);
}
