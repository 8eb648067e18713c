//! Dead letters over HTTP: listing, looking at one, replaying, discarding.

use filesys::domain::messages::topics;
use filesys::domain::{FileId, Status};
use serde_json::{Value, json};

use crate::support::{TestApp, eventually, holds};

fn id(dead_letter: &Value) -> i64 {
    dead_letter["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn a_request_that_can_not_be_read_is_listed_with_its_cause_and_bytes_and_replayed_once() {
    let app = TestApp::start().await;
    assert_eq!(app.dead_letters("/dead-letters", 0).await, [Value::Null; 0]);
    let file = app.broken_file().await;
    let [dead_letter] = app.dead_letters("/dead-letters", 1).await.try_into().unwrap();
    assert_eq!((&dead_letter["state"], &dead_letter["file_id"]), (&json!("open"), &json!(file)));
    assert_eq!(dead_letter["origin"]["topic"], topics::CREATE);
    let value = format!(r#"{{"fileId":{file},"title":7,"timestamp":"<never>"}}"#);
    assert_eq!((&dead_letter["value"], &dead_letter["size"]), (&json!(value), &json!(value.len())));
    assert!(dead_letter["error"].as_str().unwrap().contains("not a file.create message"), "{dead_letter}");
    assert_eq!(dead_letter["headers"]["schema-version"], "1");
    assert!(dead_letter["headers"].get("x-error").is_none(), "{dead_letter}");
    let path = format!("/dead-letters/{}", id(&dead_letter));
    let shown = app.get(&path).await.ok();
    assert_eq!(shown.json::<Value>(), dead_letter);
    let tag = shown.header("etag").unwrap().to_owned();
    assert_eq!(app.get_with(&path, "if-none-match", &tag).await.status, 304);

    let replayed = app.act(&format!("{path}/replay")).await;
    assert_eq!(replayed.status, 202);
    let answer: Value = replayed.json();
    let detail = format!("file {file} is asked for again, as attempt 2");
    let expected = json!({"id": id(&dead_letter), "outcome": "asked_again", "file_id": file, "attempt": 2, "detail": detail});
    assert_eq!(answer, expected);
    let done = app.wait_until_completed(file).await;
    let again = app.act(&format!("{path}/replay")).await;
    assert_eq!((again.status, &again.json::<Value>()["outcome"]), (202, &json!("before")));
    assert_eq!(app.file(file).await, done);
    let resolved: Value = app.get(&path).await.ok().json();
    assert_eq!(resolved["state"], "replayed");
    assert!(resolved["settled_at"].is_string());
    assert_eq!(app.dead_letters("/dead-letters", 0).await.len(), 0);
    assert_eq!(app.dead_letters("/dead-letters?state=all", 1).await.len(), 1);
    let refused = app.act(&format!("{path}/discard")).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (409, &json!("letter_settled")));
    app.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_discarded() {
    let app = TestApp::start().await;
    let file = app.broken_file().await;
    let [dead_letter] = app.dead_letters("/dead-letters", 1).await.try_into().unwrap();
    let path = format!("/dead-letters/{}/discard", id(&dead_letter));
    for _ in 0..2 {
        let discarded = app.act(&path).await;
        assert_eq!((discarded.status, discarded.body.len()), (204, 0), "once more does no harm");
    }
    assert_eq!(app.dead_letters("/dead-letters", 0).await.len(), 0);
    assert_eq!(app.dead_letters("/dead-letters?state=discarded", 1).await.len(), 1);
    assert_eq!(app.file(file).await.status, Status::Failed);
    app.stop().await;
}

#[tokio::test]
async fn the_list_is_turned_page_by_page_and_narrowed() {
    let app = TestApp::start().await;
    let long = format!("{{{}", "é".repeat(1000));
    for n in 1..=5 {
        app.publish(topics::CREATED, &format!(r#"{{"fileId":{n},"status":"?"}}"#)).await;
        app.dead_letters("/dead-letters", n).await;
    }
    app.publish(topics::CREATE, &long).await;
    let all = app.dead_letters("/dead-letters", 6).await;
    let ids: Vec<i64> = all.iter().map(id).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");
    // In a list a long value is cut off at the end of a character.
    let beginning = all[0]["value"].as_str().unwrap();
    assert!(long.starts_with(beginning) && beginning.len() == 999, "{}", beginning.len());
    assert_eq!(all[0]["size"], long.len());
    let whole: Value = app.get(&format!("/dead-letters/{}", ids[0])).await.ok().json();
    assert_eq!(whole["value"], long);

    let mut seen = Vec::new();
    let mut next = Some("/dead-letters?limit=4".to_owned());
    while let Some(path) = next {
        let page = app.get(&path).await.ok();
        seen.extend(page.json::<Vec<Value>>().iter().map(id));
        let link = page.header("link").and_then(|link| link.strip_prefix('<')?.split_once('>'));
        next = link.map(|(path, _)| path.to_owned());
    }
    assert_eq!(seen, ids);
    let [of_three] = app.dead_letters("/dead-letters?file_id=3", 1).await.try_into().unwrap();
    assert_eq!(of_three["file_id"], json!(FileId(3)));
    app.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_code() {
    let app = TestApp::start().await;
    for (path, status, code) in [
        ("/dead-letters/0", 400, "invalid_letter_id"),
        ("/dead-letters/x", 400, "invalid_letter_id"),
        ("/dead-letters/7", 404, "letter_not_found"),
        ("/dead-letters?state=lost", 400, "invalid_query"),
        ("/dead-letters?file_id=-1", 400, "invalid_query"),
        ("/dead-letters?limit=201", 400, "invalid_query"),
        ("/dead-letters?state=all&state=all", 400, "invalid_query"),
        ("/dead-letters?cursor=ZmlsZXM6Nw", 400, "invalid_cursor"),
        ("/dead-letters/7/replay", 405, "method_not_allowed"),
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (status, &json!(code)), "{path}");
    }
    for action in ["replay", "discard"] {
        let answer = app.act(&format!("/dead-letters/7/{action}")).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &json!("letter_not_found")));
    }
    app.stop().await;
}

#[tokio::test]
async fn what_is_dead_lettered_while_stopping_is_in_the_table_afterwards() {
    const COUNT: i64 = 200;
    let app = TestApp::start().await;
    let sql = format!(
        "INSERT INTO outbox (event_id, topic, value, file_id)
         SELECT gen_random_uuid(), '{}', 'not json', 0 FROM generate_series(1, {COUNT})",
        topics::CREATED
    );
    app.ground.database.connect().await.batch_execute(&sql).await.unwrap();
    eventually("they are published", async || {
        let left: i64 = app.ground.database.one("SELECT count(*) FROM outbox").await;
        holds(left == 0, left)
    })
    .await;
    let ground = app.stop().await;
    // A broker that forgets is emptied before the end; Kafka keeps the rest for the next start.
    if ground.kafka.is_none() {
        let kept: i64 = ground.database.one("SELECT count(*) FROM dead_letters").await;
        assert_eq!(kept, COUNT);
    }
    let app = ground.start(&[]).await;
    assert_eq!(app.dead_letters("/dead-letters?limit=200", 200).await.len(), 200);
    app.stop().await;
}
