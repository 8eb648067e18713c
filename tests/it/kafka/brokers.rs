//! A cluster of three brokers that loses or restarts one: everything else goes on.

use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use filesys::broker::partitioner::partition_for;
use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};

use crate::roles::site::{OUT_OF_LINE, TWICE};
use crate::support::own::Own;
use crate::support::processes::Processes;
use crate::support::{Api, eventually_within, holds};

/// Time limit for processes and brokers on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time limit far below a wait for the lost broker: the relay's longest is 20 s.
const SOON: Duration = Duration::from_secs(15);

/// Places partition 2 of each topic on broker 3 alone.
async fn make_topics_without_replicas(kafka: &Own, prefix: &str) {
    let make = topics::ALL.map(|name| async move {
        let name = format!("{prefix}{name}");
        let place = ["--replica-assignment", "1,2,3", "--config", "min.insync.replicas=1"];
        let make = ["tool", "topics", "--create", "--topic", &name];
        kafka.run(&[&make[..], &place[..]].concat()).await;
    });
    futures_util::future::join_all(make).await;
}

/// Tells whether the file's results and events belong to the lost broker's partition.
fn is_stuck(id: FileId) -> bool {
    partition_for(Some(id.0.to_string().as_bytes()), &AtomicUsize::new(0), 3) == 2
}

async fn post(api: &Api, what: &str, count: usize) -> Vec<File> {
    api.post_files((0..count).map(|n| format!("{what} {n}"))).await
}

async fn are_completed(api: &Api, what: &str, ids: &[FileId], limit: Duration) -> Duration {
    let began = Instant::now();
    eventually_within(limit, what, async || {
        for id in ids {
            let file = api.file(*id).await;
            holds(file.status == Status::Completed, (file.id, file.status))?;
        }
        Ok(())
    })
    .await;
    began.elapsed()
}

#[tokio::test]
async fn kafka_of_three_brokers_that_loses_one_holds_up_only_what_has_to_go_there() {
    let Some(kafka) = Own::kafka_cluster().await else { return };
    let processes = Processes::new(&kafka.address, "lost.").await;
    make_topics_without_replicas(&kafka, "lost.").await;
    let (_serve, api) = processes.serve(&[]).await;
    let _worker = processes.worker(2, &[]);
    let first: Vec<FileId> = post(&api, "before", 6).await.iter().map(|file| file.id).collect();
    are_completed(&api, "all is well at first", &first, PATIENCE).await;

    kafka.broker("kill", 3).await;
    let posted = post(&api, "without broker 3", 40).await;
    let (stuck, live): (Vec<FileId>, Vec<FileId>) =
        posted.iter().map(|file| file.id).partition(|id| is_stuck(*id));
    assert!(stuck.len() >= 3 && live.len() >= 3, "{} and {}", stuck.len(), live.len());
    let took = are_completed(&api, "files whose partitions live", &live, SOON).await;
    eprintln!("{} files whose partitions live were completed within {took:?}", live.len());
    for id in &stuck {
        assert_ne!(api.file(*id).await.status, Status::Completed, "there is nowhere to say so");
    }

    kafka.broker("start", 3).await;
    let took = are_completed(&api, "the others, too, when it is back", &stuck, PATIENCE).await;
    eprintln!("the other {} were completed {took:?} after it was back", stuck.len());

    // A broker that goes in good order hands over what it leads; topics with replicas go on without it.
    let replicated = Processes::new(&kafka.address, "kept.").await;
    let (_serve, api) = replicated.serve(&[]).await;
    let _worker = replicated.worker(2, &[]);
    let first: Vec<FileId> = post(&api, "before", 6).await.iter().map(|file| file.id).collect();
    are_completed(&api, "all is well with replicas", &first, PATIENCE).await;
    kafka.broker("stop", 1).await;
    let posted: Vec<FileId> = post(&api, "without broker 1", 40).await.iter().map(|file| file.id).collect();
    let took = are_completed(&api, "files while one of three brokers is down", &posted, SOON).await;
    eprintln!("{} files were completed {took:?} after a broker was stopped", posted.len());
    kafka.broker("start", 1).await;

    for processes in [&processes, &replicated] {
        let database = &processes.ground.database;
        assert_eq!(database.one::<i64>(OUT_OF_LINE).await, 0, "moves that don't follow");
        assert_eq!(database.one::<i64>(TWICE).await, 0, "moves made twice");
    }
}
