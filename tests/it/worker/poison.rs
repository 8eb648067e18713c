//! Requests that can't be processed are put aside once, with their cause; their neighbours don't notice.

use std::collections::BTreeMap;

use filesys::domain::Status;
use filesys::domain::message::topic;

use crate::support::records::{header, origin};
use crate::support::roles::Roles;
use crate::support::{eventually, holds};

/// A request that names no file of ours, and a part of what is said about it.
const POISON: [(Option<&[u8]>, &str); 14] = [
    (None, "no value"),
    (Some(b""), "no value"),
    (Some(b"not json"), "not a file.create message"),
    (Some(b"{"), "not a file.create message"),
    (Some(b"null"), "not a file.create message"),
    (Some(b"[]"), "not a file.create message"),
    (Some(b"\xff\xfe\x00"), "not a file.create message"),
    (Some(b"{}"), "missing field"),
    (Some(br#"{"fileId":"one","title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "invalid type"),
    (Some(br#"{"fileId":-1,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not positive"),
    (Some(br#"{"fileId":1.5,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "invalid type"),
    (Some(br#"{"fileId":0,"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "not positive"),
    (Some(br#"{"fileId":-7,"title":7,"timestamp":"yesterday"}"#), "invalid type"),
    (Some(br#"{"title":"a","timestamp":"2026-01-04T12:00:00Z"}"#), "missing field"),
];

#[tokio::test]
async fn poison_among_good_requests_is_put_aside_once_and_its_neighbours_complete() {
    let roles = Roles::new().await.with_results().await.with_worker().await.with_intake().with_relay();
    let mut published = BTreeMap::new();
    let mut asked = Vec::new();
    for (n, (value, cause)) in POISON.iter().enumerate() {
        asked.push(roles.request(&format!("file {n}")).await.id);
        published.insert(roles.publish(topic::CREATE, *value).await, (*value, *cause));
    }
    for id in asked {
        eventually("a neighbour completes", async || {
            let file = roles.file(id).await;
            holds(file.status == Status::Completed, file)
        })
        .await;
    }
    roles.wait_until_all_is_committed(topic::CREATE).await;

    let letters = roles.records(topic::DEAD_LETTERS).await;
    assert_eq!(letters.len(), POISON.len(), "{letters:#?}");
    for letter in &letters {
        let (value, cause) = published.remove(&origin(letter)).expect("put aside once");
        // A record without a value stays without one.
        assert_eq!(letter.record.value.as_deref(), value);
        assert!(
            header(letter, "x-error").contains(cause),
            "{cause:?} is not in {:?}",
            header(letter, "x-error")
        );
    }
    assert!(published.is_empty());
    assert_eq!(roles.bucket.keys().await.len(), POISON.len());
    roles.stop().await;
}

#[tokio::test]
async fn an_unusable_request_that_names_its_file_fails_the_file() {
    let roles = Roles::new().await.with_results().await.with_intake();
    // Its own message stays in the outbox: nothing relays here.
    let file = roles.request("a").await;
    let roles = roles.with_worker().await;
    let value = format!(r#"{{"fileId":{},"attempt":1,"title":"a","timestamp":"never"}}"#, file.id);
    let at = roles.publish(topic::CREATE, Some(value.as_bytes())).await;
    let failed = eventually("the file fails", async || {
        let file = roles.file(file.id).await;
        if file.status == Status::Failed { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await;
    let reason = failed.error.expect("a reason");
    assert!(reason.contains("not a file.create message"), "{reason}");
    roles.wait_until_all_is_committed(topic::CREATE).await;
    let letters = roles.records(topic::DEAD_LETTERS).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(origin(&letters[0]), at);
    assert_eq!(header(&letters[0], "x-attempt"), "1");
    assert_eq!(letters[0].record.key.as_deref(), Some(file.id.to_string().as_bytes()));
    assert_eq!(letters[0].record.value.as_deref(), Some(value.as_bytes()));
    roles.stop().await;
}

#[tokio::test]
async fn a_request_with_the_source_systems_members_alone_makes_the_file() {
    let roles = Roles::new().await.with_results().await.with_intake();
    let file = roles.request("A title").await;
    let roles = roles.with_worker().await;
    let value = format!(
        r#"{{"fileId":{},"title":"A title","description":"d","timestamp":"{}"}}"#,
        file.id, file.created_at
    );
    roles.publish(topic::CREATE, Some(value.as_bytes())).await;
    eventually("the file completes", async || {
        let file = roles.file(file.id).await;
        holds(file.status == Status::Completed, file)
    })
    .await;
    let [key] = roles.bucket.keys().await.try_into().unwrap();
    assert_eq!(key, format!("files/{}_a_title_{}.txt", file.id, file.created_at.epoch_millis()));
    assert_eq!(roles.records(topic::DEAD_LETTERS).await, []);
    roles.stop().await;
}

#[tokio::test]
async fn a_request_delivered_twice_makes_one_object_and_one_completion() {
    let roles = Roles::new().await.with_results().await.with_worker().await.with_intake().with_relay();
    let file = roles.request("twice").await;
    let message = format!(
        r#"{{"fileId":{},"title":"twice","timestamp":"{}","attempt":1,"format":"txt"}}"#,
        file.id, file.created_at
    );
    for _ in 0..3 {
        roles.publish(topic::CREATE, Some(message.as_bytes())).await;
    }
    roles.wait_until_all_is_committed(topic::CREATE).await;
    roles.wait_until_all_is_committed(topic::CREATED).await;
    let done = eventually("the file completes", async || {
        let file = roles.file(file.id).await;
        if file.status == Status::Completed { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await;
    assert_eq!(roles.bucket.keys().await.len(), 1);
    let lines = roles.ctx.db.transitions(done.id).await.unwrap();
    let completions = lines.iter().filter(|line| line.to == Status::Completed).count();
    assert_eq!((completions, lines.len()), (1, 3), "{lines:#?}");
    assert_eq!(roles.records(topic::DEAD_LETTERS).await, []);
    roles.stop().await;
}
