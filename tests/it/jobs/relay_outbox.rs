//! Every change of a file is published on `file.events`, in order, whatever Kafka was doing at the time.

use std::collections::BTreeMap;

use filesys::domain::EventType;
use filesys::domain::messages::topics;
use filesys::jobs::relay_outbox;
use serde_json::{Value, json};

use crate::support::events::event;
use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// Reads the events by file, ordered by sequence.
async fn events(roles: &Roles) -> BTreeMap<i64, Vec<Value>> {
    let mut events: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for delivery in roles.records(topics::EVENTS).await {
        let event = event(&delivery);
        let id = event["subject"].as_str().unwrap().parse().unwrap();
        events.entry(id).or_default().push(event);
    }
    for of_one in events.values_mut() {
        of_one.sort_by_key(|event| event["sequence"].as_str().unwrap().to_owned());
    }
    events
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_completed_file_publishes_three_cloud_events() {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await.with_results().await;
    let id = roles.request("titled").await.id;
    let published = eventually("three events are published", async || {
        let published = events(&roles).await.remove(&id.0).unwrap_or_default();
        if published.len() == 3 { Ok(published) } else { Err(format!("{published:?}")) }
    })
    .await;
    assert_eq!(types(&published), ["file.requested", "file.processing_started", "file.processing_completed"]);
    let file = roles.file(id).await;
    for (sequence, event) in (1..).zip(&published) {
        assert_eq!((&event["specversion"], &event["source"]), (&json!("1.0"), &json!("filesys")));
        assert_eq!(event["sequence"], format!("000000000{sequence}"));
        assert_eq!(event["dataschema"], "urn:filesys:schemas:file.events.data");
        let data = &event["data"];
        assert_eq!((&data["fileId"], &data["title"]), (&json!(id.to_string()), &json!("titled")));
        assert_eq!((&data["fileName"], &data["fileType"]), (&json!("titled.txt"), &json!("text")));
        assert_eq!((&data["origin"], &data["uploadedBy"]), (&json!("generated"), &json!(null)));
        assert_eq!(data["url"], format!("/files/{id}/content"));
        assert!(data.get("description").is_none() && data.get("views").is_none(), "{data}");
    }
    assert_eq!(published[0]["data"]["status"], "pending");
    assert_eq!(published[0]["data"]["storageKey"], json!(null));
    assert_eq!(published[2]["time"], json!(file.updated_at));
    let data = &published[2]["data"];
    assert_eq!((&data["sha256"], &data["size"]), (&json!(file.sha256), &json!(file.size)));
    let location = file.s3_location.unwrap();
    assert_eq!(data["s3Location"], json!(location));
    assert!(location.ends_with(&format!("/{}", data["storageKey"].as_str().unwrap())), "{data}");
    roles.stop().await;
}

#[tokio::test]
async fn events_wait_for_a_missing_topic_and_hold_nothing_up() {
    let roles = Roles::without_topics(&[topics::EVENTS]).await.with_intake();
    for n in 0..3 {
        roles.request(&format!("file {n}")).await;
    }
    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published, round.postponed.len()), (6, 3, 3));
    assert_eq!(roles.records(topics::CREATE).await.len(), 3);

    // What is postponed is not in the way of what comes after it.
    roles.request("later").await;
    let round = relay_outbox::relay_once(&roles.ctx).await.unwrap();
    assert_eq!((round.published, round.postponed.len()), (1, 1));

    roles.make_topics().await;
    eventually("the events are published", async || {
        relay_outbox::relay_once(&roles.ctx).await.unwrap();
        let published = events(&roles).await;
        holds(published.len() == 4 && roles.ctx.db.outbox().size().await.unwrap() == 0, published)
    })
    .await;
    roles.stop().await;
}

#[test]
fn every_type_of_event_is_documented() {
    let text = include_str!("../../../docs/EVENTS.md");
    for event in EventType::ALL {
        let name = serde_json::to_value(event).unwrap();
        assert!(
            text.contains(&format!("| `{}` |", name.as_str().unwrap())),
            "{name} is not in docs/EVENTS.md"
        );
    }
}
