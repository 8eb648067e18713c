//! Every change of a file is told on `file.events`, in order, whatever Kafka was doing at the time.

use std::collections::BTreeMap;

use filesys::domain::EventType;
use filesys::domain::messages::{headers, topics};
use filesys::jobs::relay_outbox;
use serde_json::{Value, json};

use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// What `file.events` holds, by file, in the order of their sequence.
async fn facts(roles: &Roles) -> BTreeMap<i64, Vec<Value>> {
    let mut facts: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for delivery in roles.records(topics::EVENTS).await {
        let fact: Value = serde_json::from_slice(delivery.record.value.as_deref().unwrap()).unwrap();
        let id = fact["file"]["id"].as_i64().unwrap();
        assert_eq!(delivery.record.key.as_deref(), Some(id.to_string().as_bytes()));
        assert_eq!(delivery.record.headers.get(headers::EVENT_ID).unwrap(), fact["id"].as_str().unwrap());
        facts.entry(id).or_default().push(fact);
    }
    for of_one in facts.values_mut() {
        of_one.sort_by_key(|fact| fact["sequence"].as_i64());
    }
    facts
}

fn types(facts: &[Value]) -> Vec<&str> {
    facts.iter().map(|fact| fact["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_file_that_is_made_tells_three_facts_in_one_envelope() {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await.with_results().await;
    let id = roles.request("told").await.id;
    let told = eventually("three facts are told", async || {
        let told = facts(&roles).await.remove(&id.0).unwrap_or_default();
        if told.len() == 3 { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await;
    assert_eq!(types(&told), ["file.requested", "file.processing_started", "file.processing_completed"]);
    let file = roles.file(id).await;
    for (sequence, fact) in (1..).zip(&told) {
        assert_eq!((&fact["version"], &fact["sequence"]), (&json!(1), &json!(sequence)));
        assert_eq!(fact["file"]["title"], "told");
        assert!(fact["file"].get("description").is_none());
        assert_eq!(fact["time"], fact["file"]["updated_at"]);
    }
    assert_eq!(told[0]["file"]["status"], "pending");
    assert_eq!(told[2]["file"]["sha256"], json!(file.sha256));
    assert_eq!(told[2]["file"]["s3_location"], json!(file.s3_location));
    roles.stop().await;
}

#[tokio::test]
async fn facts_wait_for_a_missing_topic_and_hold_nothing_up() {
    let roles = Roles::without_topics(&[topics::EVENTS]).await.with_intake();
    for n in 0..3 {
        roles.request(&format!("file {n}")).await;
    }
    let round = relay_outbox::once(&roles.ctx).await.unwrap();
    assert_eq!((round.taken, round.published, round.postponed.len()), (6, 3, 3));
    assert_eq!(roles.records(topics::CREATE).await.len(), 3);

    // What is postponed is not in the way of what comes after it.
    roles.request("later").await;
    let round = relay_outbox::once(&roles.ctx).await.unwrap();
    assert_eq!((round.published, round.postponed.len()), (1, 1));

    roles.make_topics().await;
    eventually("the facts are told", async || {
        relay_outbox::once(&roles.ctx).await.unwrap();
        let told = facts(&roles).await;
        holds(told.len() == 4 && roles.ctx.db.outbox_size().await.unwrap() == 0, told)
    })
    .await;
    roles.stop().await;
}

#[test]
fn every_type_of_fact_is_documented() {
    let text = include_str!("../../../docs/EVENTS.md");
    for fact in EventType::ALL {
        let name = serde_json::to_value(fact).unwrap();
        assert!(
            text.contains(&format!("| `{}` |", name.as_str().unwrap())),
            "{name} is not in docs/EVENTS.md"
        );
    }
}
