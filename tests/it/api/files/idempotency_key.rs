//! `Idempotency-Key`: a repeated request makes one file.

use std::collections::BTreeSet;

use filesys::domain::{File, FileId, Status};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

async fn post(app: &TestApp, key: &str, body: &Value) -> Answer {
    Answer::of(app.request(Method::POST, "/files").header("idempotency-key", key).json(body)).await
}

#[tokio::test]
async fn the_same_key_and_body_give_the_first_record() {
    let app = TestApp::start().await;
    let body = json!({"title": " once ", "description": "é"});
    let first = post(&app, "key-1", &body).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    let file = app.wait_until_completed(first.json::<File>().id).await;

    let again = post(&app, "key-1", &json!({"title": "once", "description": "é", "format": "txt"})).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json::<File>(), file);

    for (key, body) in [("key-2", body.clone()), ("Key-1", body.clone())] {
        assert_eq!(post(&app, key, &body).await.header("idempotent-replayed"), None);
    }
    assert_eq!(app.stats().await.total, 3);
    app.stop().await;
}

#[tokio::test]
async fn the_same_key_for_another_file_is_refused() {
    let app = TestApp::start().await;
    post(&app, "key", &json!({"title": "a"})).await;
    for other in [json!({"title": "b"}), json!({"title": "a", "description": "b"}), json!({"title": "A"})] {
        let refused = post(&app, "key", &other).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (422, &json!("idempotency_key_reused")));
    }
    assert_eq!(app.stats().await.total, 1);
    app.stop().await;
}

#[tokio::test]
async fn fifty_at_once_through_two_processes_make_one_file() {
    let one = TestApp::start().await;
    let settings = one.ground.env(&[]);
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let two = crate::support::Ground::new().await.start(&settings).await;
    let body = json!({"title": "one of many"});
    let posts = (0..50).map(|n| post(if n % 2 == 0 { &one } else { &two }, "crowd", &body));
    let answers = futures_util::future::join_all(posts).await;
    let ids: BTreeSet<FileId> = answers.iter().map(|answer| answer.json::<File>().id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let first = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1);
    assert_eq!(one.stats().await.total, 1);
    assert_eq!(
        one.ground.database.one::<i64>("SELECT count(*) FROM transitions WHERE from_status IS NULL").await,
        1
    );
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn after_a_day_a_key_is_free_again() {
    let app = TestApp::start().await;
    let first: File = post(&app, "old", &json!({"title": "a"})).await.json();
    let age = "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours 1 second'";
    app.ground.database.connect().await.batch_execute(age).await.unwrap();
    let second = post(&app, "old", &json!({"title": "b"})).await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (201, None));
    let second: File = second.json();
    assert!(second.id > first.id);
    let again: File = post(&app, "old", &json!({"title": "b"})).await.json();
    assert_eq!(again.id, second.id);
    app.stop().await;
}

#[tokio::test]
async fn a_key_that_can_not_be_one_is_refused_and_a_deleted_file_is_still_meant() {
    let app = TestApp::start().await;
    let body = json!({"title": "a"});
    for key in ["", "é", &"k".repeat(256)] {
        let refused = post(&app, key, &body).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (400, &json!("invalid_idempotency_key")));
    }
    let twice =
        app.request(Method::POST, "/files").header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(Answer::of(twice.json(&body)).await.status, 400);

    let key = "k".repeat(255);
    let file: File = post(&app, &key, &body).await.json();
    assert_eq!(Answer::of(app.request(Method::DELETE, &format!("/files/{}", file.id))).await.status, 204);
    let again: File = post(&app, &key, &body).await.json();
    assert_eq!((again.id, again.status), (file.id, Status::Deleted));
    app.stop().await;
}
