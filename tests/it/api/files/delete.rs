//! Deleting files: the row stays, its object goes.

use filesys::domain::Status;
use serde_json::json;

use super::{delete, retry};
use crate::support::{TestApp, eventually, holds};

async fn wait_until_no_object_is_left(app: &TestApp) {
    eventually("the bucket is empty", async || {
        let keys = app.ground.bucket.keys().await;
        let left: i64 = app.ground.database.one("SELECT count(*) FROM object_removals").await;
        holds(keys.is_empty() && left == 0, (keys, left))
    })
    .await;
}

#[tokio::test]
async fn a_deleted_file_keeps_its_row_and_loses_its_object() {
    let app = TestApp::start().await;
    let file = app.completed_file("gone").await;
    let deleted = delete(&app, file.id).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));

    wait_until_no_object_is_left(&app).await;
    let row = app.file(file.id).await;
    assert_eq!((row.status, &row.s3_location, row.size), (Status::Deleted, &None, file.size));
    assert_eq!((row.sha256, row.erased_at), (file.sha256, Some(row.updated_at)));
    assert_eq!(app.content(file.id).await.status, 410);
    assert_eq!(app.page("/files").await.0, []);
    assert_eq!(app.page("/files?status=deleted").await.0.len(), 1);
    assert_eq!(app.timeline(file.id).await.last().unwrap().to, Status::Deleted);

    assert_eq!(delete(&app, file.id).await.status, 204, "once more does no harm");
    let refused = retry(&app, file.id).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (409, &json!("status_does_not_allow")));
    app.stop().await;
}
