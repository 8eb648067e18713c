//! What operators look at: timelines, counts, probes, request ids, the headers of every answer.

use filesys::domain::{Attempt, Status};
use serde_json::{Value, json};

use crate::support::{TestApp, eventually, holds};

#[tokio::test]
async fn a_timeline_tells_every_change_and_who_made_it() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let lines = app.timeline(file.id).await;
    let moves: Vec<_> = lines.iter().map(|line| (line.from, line.to)).collect();
    assert_eq!(
        moves,
        [
            (None, Status::Pending),
            (Some(Status::Pending), Status::Processing),
            (Some(Status::Processing), Status::Completed),
        ]
    );
    assert!(lines.is_sorted_by_key(|line| line.at));
    assert_eq!(lines[0].at, file.created_at);
    assert_eq!(lines[2].at, file.updated_at);
    assert!(lines.iter().all(|line| line.attempt == Attempt::FIRST));
    for line in &lines[1..] {
        let worker = line.worker.as_deref().expect("who did it");
        assert!(worker.starts_with("file-service-"), "{worker}");
        assert!(matches!(line.partition, Some(0..=2)), "{line:?}");
        assert_eq!(line.offset, Some(0));
    }
    assert!(lines[2].duration_ms.is_some_and(|took| took >= 0));
    app.stop().await;
}

#[tokio::test]
async fn counts_follow_the_files() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    assert_eq!(
        app.get("/files/stats").await.json::<Value>(),
        json!({"pending": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "deleted": 0,
               "total": 0, "oldest_unfinished_seconds": null})
    );
    app.post_files((0..3).map(|n| format!("file {n}"))).await;
    eventually("three files are being processed", async || {
        let stats = app.stats().await;
        let as_expected = (stats.processing, stats.total) == (3, 3);
        holds(as_expected && stats.oldest_unfinished_seconds.is_some(), stats)
    })
    .await;
    let ground = app.stop().await;

    let app = ground.start(&[]).await;
    let stats = app.wait_until_all_completed().await;
    assert_eq!((stats.completed, stats.oldest_unfinished_seconds), (3, None));
    app.stop().await;
}

#[tokio::test]
async fn probes_tell_that_it_lives_and_that_everything_is_there() {
    let app = TestApp::start().await;
    let alive = app.get("/livez").await.ok();
    assert_eq!(alive.json::<Value>(), json!({"status": "alive"}));
    // The bucket is made while the first requests are answered already.
    let ready = eventually("everything is there", async || {
        let ready = app.get("/readyz").await.ok();
        let everything = json!({"status": "ready", "database": "up", "kafka": "up", "storage": "up"});
        if ready.json::<Value>() == everything { Ok(ready) } else { Err(ready.text()) }
    })
    .await;
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    app.stop().await;
}

#[tokio::test]
async fn files_can_be_asked_for_and_listed_while_the_store_is_down() {
    // Port 1: nothing listens there.
    let app = TestApp::start_with(&[("S3_ENDPOINT", "http://127.0.0.1:1"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("waits").await;
    assert_eq!(app.page("/files").await.0[0].id, file.id);
    eventually("the store alone is down", async || {
        let ready = app.get("/readyz").await.ok().json::<Value>();
        let degraded = json!({"status": "degraded", "database": "up", "kafka": "up", "storage": "down"});
        holds(ready == degraded, ready)
    })
    .await;
    app.wait_until(file.id, Status::Processing).await;
    let ground = app.stop().await;

    let app = ground.start(&[]).await;
    app.wait_until_completed(file.id).await;
    app.stop().await;
}

#[tokio::test]
async fn without_the_database_it_lives_refuses_and_heals() {
    let app = TestApp::start().await;
    let file = app.completed_file("before").await;
    app.ground.database.cut_off().await;
    for path in ["/files", &format!("/files/{}", file.id), "/files/stats"] {
        let refused = app.get(path).await;
        assert_eq!(refused.status, 503, "{path}");
        assert_eq!(refused.problem()["code"], "database_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(app.post(&json!({"title": "during"})).await.status, 503);
    assert_eq!(app.get("/livez").await.status, 200);
    let ready = app.get("/readyz").await;
    assert_eq!((ready.status, &ready.json::<Value>()["status"]), (503, &json!("unavailable")));

    app.ground.database.let_in().await;
    app.completed_file("after").await;
    eventually("it is ready again", async || {
        let ready = app.get("/readyz").await;
        holds(ready.status == 200, ready)
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_request_id_is_kept_when_it_is_sane_and_given_otherwise() {
    let app = TestApp::start().await;
    let kept = app.get_with("/files/0", "x-request-id", "order-7_a.b:c").await;
    assert_eq!(kept.header("x-request-id"), Some("order-7_a.b:c"));
    assert_eq!(kept.problem()["request_id"], "order-7_a.b:c");
    let long = "a".repeat(129);
    let mut given = Vec::new();
    for insane in ["", "a b", "<script>", "é", long.as_str()] {
        let answer = app.get_with("/files", "x-request-id", insane).await.ok();
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{insane:?} became {id}");
        given.push(id);
    }
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 5);
    app.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_a_browser() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    for path in [
        "/",
        "/files",
        "/livez",
        "/nothing/here",
        "/files/0",
        "/assets/none.js",
        &format!("/ui/files/{}", file.id),
        &format!("/files/{}/content", file.id),
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'self'")
                && policy.contains("frame-ancestors 'none'")
                && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
    app.stop().await;
}
