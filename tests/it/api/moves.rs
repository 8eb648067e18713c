//! Cancel, retry, delete: what a person may ask of a file that exists.

use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};
use reqwest::Method;
use serde_json::json;

use crate::support::roles::Roles;
use crate::support::{Answer, TestApp, eventually, holds};

/// Files take until they are cancelled.
const SLOWLY: &[(&str, &str)] = &[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")];

async fn ask(app: &TestApp, method: Method, path: &str) -> Answer {
    Answer::of(app.request(method, path)).await
}

async fn cancel(app: &TestApp, id: FileId) -> Answer {
    ask(app, Method::POST, &format!("/files/{id}/cancel")).await
}

async fn retry(app: &TestApp, id: FileId) -> Answer {
    ask(app, Method::POST, &format!("/files/{id}/retry")).await
}

async fn delete(app: &TestApp, id: FileId) -> Answer {
    ask(app, Method::DELETE, &format!("/files/{id}")).await
}

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

#[tokio::test]
async fn a_cancelled_file_stays_cancelled_until_it_is_tried_again() {
    let app = TestApp::start_with(SLOWLY).await;
    let file = app.post_file("called off").await;
    app.wait_until(file.id, Status::Processing).await;
    let answer = cancel(&app, file.id).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json::<File>().status, Status::Cancelled);
    assert_eq!(cancel(&app, file.id).await.status, 202, "once more does no harm");

    let again: File = retry(&app, file.id).await.json();
    assert_eq!((again.status, again.attempt.0), (Status::Pending, 2));
    let refused = retry(&app, file.id).await;
    assert_eq!(refused.status, 409);
    let detail = refused.problem()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("retry is possible while it is: failed, cancelled"), "{detail}");
    app.wait_until(file.id, Status::Processing).await;
    let steps: Vec<Status> = app.timeline(file.id).await.iter().map(|line| line.to).collect();
    assert_eq!(
        steps,
        [Status::Pending, Status::Processing, Status::Cancelled, Status::Pending, Status::Processing]
    );
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

#[tokio::test]
async fn what_is_not_there_can_not_be_moved() {
    let app = TestApp::start().await;
    for answer in [cancel(&app, FileId(1)).await, retry(&app, FileId(1)).await, delete(&app, FileId(1)).await]
    {
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &json!("file_not_found")));
    }
    let file = app.completed_file("done").await;
    assert_eq!(cancel(&app, file.id).await.status, 409);
    assert_eq!(app.file(file.id).await, file);
    app.stop().await;
}

#[tokio::test]
async fn a_failed_file_is_tried_again_with_a_new_deadline() {
    let app = TestApp::start_with(&[SLOWLY, &[("FILE_DEADLINE", "1s")]].concat()).await;
    let file = app.post_file("late").await;
    let failed = app.wait_until(file.id, Status::Failed).await;
    assert_eq!(failed.error.as_deref(), Some("not finished before its deadline"));
    let again: File = retry(&app, file.id).await.json();
    assert_eq!((again.status, again.attempt.0, again.error), (Status::Pending, 2, None));
    app.wait_until(file.id, Status::Failed).await;
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

/// A worker of ours that was told too late.
async fn made_all_the_same(roles: &Roles, file: &File, attempt: i32) {
    let key = format!("files/{}_late_1.txt", file.id);
    roles.bucket.put(&key, b"late").await;
    let location = format!("s3://{}/{key}", roles.bucket.name());
    let result =
        json!({"fileId": file.id, "status": "completed", "s3Location": location, "attempt": attempt});
    roles.publish(topics::CREATED, Some(result.to_string().as_bytes())).await;
}

#[tokio::test]
async fn a_result_for_a_file_that_nobody_wants_leaves_no_object() {
    use filesys::actions::files;
    let roles = Roles::new().await.with_intake().with_results().await.with_removals();
    let (cancelled, deleted) = (roles.request("cancelled").await, roles.request("deleted").await);
    files::cancel(&roles.ctx, cancelled.id).await.unwrap();
    files::delete(&roles.ctx, deleted.id).await.unwrap();
    for file in [&cancelled, &deleted] {
        made_all_the_same(&roles, file, 1).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    eventually("the objects are removed", async || {
        let left = (roles.bucket.keys().await, roles.ctx.db.removals_left().await.unwrap());
        holds(left == (Vec::new(), 0), left)
    })
    .await;
    assert_eq!(roles.file(cancelled.id).await.status, Status::Cancelled);
    assert_eq!(roles.file(deleted.id).await.status, Status::Deleted);
    roles.stop().await;
}

#[tokio::test]
async fn the_object_of_a_file_that_is_tried_again_is_not_removed() {
    use filesys::actions::files;
    use filesys::jobs::remove_objects;
    let roles = Roles::new().await.with_intake().with_results().await;
    let file = roles.request("changed my mind").await;
    files::cancel(&roles.ctx, file.id).await.unwrap();
    made_all_the_same(&roles, &file, 1).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.ctx.db.removals_left().await.unwrap(), 1);

    // Before the removal is looked at, the file is wanted again, and made under the same key.
    files::retry(&roles.ctx, file.id).await.unwrap();
    assert_eq!(remove_objects::once(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.bucket.keys().await.len(), 1, "an attempt is under way");
    made_all_the_same(&roles, &file, 2).await;
    eventually("the second attempt completes", async || {
        let file = roles.file(file.id).await;
        holds(file.status == Status::Completed, file)
    })
    .await;
    let now = "UPDATE object_removals SET retry_at = now() WHERE retry_at < 'infinity'";
    roles.database.connect().await.batch_execute(now).await.unwrap();
    assert_eq!(remove_objects::once(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.ctx.db.removals_left().await.unwrap(), 0);
    assert_eq!(roles.bucket.keys().await.len(), 1, "the row names it");
    roles.stop().await;
}
