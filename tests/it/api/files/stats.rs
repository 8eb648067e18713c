//! Counts of files by status.

use serde_json::{Value, json};

use crate::support::{TestApp, eventually, holds};

#[tokio::test]
async fn counts_follow_the_files() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    assert_eq!(
        app.get("/files/stats").await.json::<Value>(),
        json!({"pending": 0, "uploading": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "deleted": 0,
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
