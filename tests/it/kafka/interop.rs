//! Programs written with another client library, which know only the source system's members, in place of each role.

use bytes::Bytes;
use filesys::actions::provision;
use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status, Timestamp};
use serde_json::{Value, json};

use super::peer::Peer;
use super::run::Run;
use crate::support::process::STOP_LIMIT;

/// Starts a run with topics and the other client; `None` where one of them is missing, which is reported as not run.
async fn with_peer(reads: &str, writes: &str) -> Option<(Run, Peer)> {
    let run = Run::new().await?;
    provision::topics(&run.kafka, 3, None).await.unwrap();
    let peer = Peer::start(&run, reads, writes).await?;
    Some((run, peer))
}

#[tokio::test]
async fn kafkajs_in_place_of_serve_is_understood_by_our_worker_and_understands_it() {
    let Some((run, mut peer)) = with_peer(topics::CREATED, topics::CREATE).await else { return };
    let (id, bucket) = (FileId(1), run.ground.bucket.name());
    let worker = run.worker("worker");
    peer.send(&json!({"fileId": id, "title": "Größe & Co", "description": "by kafkajs",
                      "timestamp": "2026-01-04T12:00:00.000Z"}))
        .await;

    let processing = peer.receive(id).await;
    assert_eq!(
        (&processing.value["status"], &processing.value["attempt"]),
        (&json!("processing"), &json!(1))
    );

    let mut completed = peer.receive(id).await;
    // Said again when the record moves to another member.
    while completed.value["status"] == "processing" {
        completed = peer.receive(id).await;
    }
    let key = format!("files/{id}_gr_e_co_1767528000000.txt");
    let content = "===================\nGENERATED FILE\n===================\nTitle: Größe & Co\n\
                   Description: by kafkajs\nGenerated at: 2026-01-04T12:00:00.000Z\n";
    let value = &completed.value;
    assert_eq!(value["status"], "completed", "{value}");
    assert_eq!(value["title"], "Größe & Co");
    assert_eq!(value["s3Location"], format!("s3://{bucket}/{key}"));
    assert_eq!((&value["attempt"], &value["size"]), (&json!(1), &json!(content.len())));
    assert_eq!(value["sha256"].as_str().map(str::len), Some(64));
    assert!(serde_json::from_value::<Timestamp>(value["timestamp"].clone()).is_ok(), "{value}");
    assert_eq!(completed.key, id.to_string());
    assert_eq!(completed.headers["schema-version"], "1");
    assert!(completed.headers["event-id"].as_str().is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()));
    assert_eq!(run.ground.bucket.object(&key).await, Bytes::from_static(content.as_bytes()));

    peer.stop().await;
    worker.stop_within(STOP_LIMIT * 2).await;
}

#[tokio::test]
async fn kafkajs_in_place_of_the_worker_understands_our_serve_and_is_understood_by_it() {
    let Some((run, mut peer)) = with_peer(topics::CREATE, topics::CREATED).await else { return };
    let (serve, api) = run.serve("serve").await;
    let now = "2026-01-04T12:00:00.000Z";

    let made = api.post(&json!({"title": "Made elsewhere", "description": "by kafkajs"})).await;
    let made: File = made.json();
    let request = peer.receive(made.id).await;
    assert_eq!((request.value["title"].as_str(), request.key), (Some("Made elsewhere"), Value::Null));
    assert_eq!(request.value["description"], "by kafkajs");
    assert_eq!(request.value["timestamp"], json!(made.created_at));
    // With a time of its own, as the source system's worker names them.
    let key = format!("files/{}_made_elsewhere_1767398400000.txt", made.id);
    run.ground.bucket.made().await;
    run.ground.bucket.put(&key, b"made elsewhere").await;
    let location = format!("s3://{}/{key}", run.ground.bucket.name());
    let answer = json!({"fileId": made.id, "s3Location": location, "status": "completed", "timestamp": now});
    peer.send(&answer).await;
    let completed = api.wait_until_completed(made.id).await;
    assert_eq!(completed.s3_location, Some(location));
    assert_eq!(api.content(made.id).await.ok().body, Bytes::from_static(b"made elsewhere"));

    let failing = api.post_file("not made anywhere").await;
    assert_eq!(peer.receive(failing.id).await.value["title"], "not made anywhere");
    peer.send(&json!({"fileId": failing.id, "s3Location": null, "status": "failed", "timestamp": now})).await;
    let failed = api.wait_until(failing.id, Status::Failed).await;
    assert_eq!(failed.s3_location, None);

    peer.stop().await;
    serve.stop_within(STOP_LIMIT * 2).await;
}
