//! Probes: whether the process answers, and whether it can do its work.

use filesys::domain::Status;
use serde_json::{Value, json};

use crate::support::{TestApp, eventually, holds};

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
