//! Cancelling files: what is cancelled stays cancelled, and leaves no object.

use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};
use serde_json::json;

use super::{SLOWLY, cancel, complete_late, delete, retry};
use crate::support::roles::Roles;
use crate::support::{TestApp, eventually, holds};

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
async fn a_file_that_does_not_exist_or_is_completed_can_not_be_cancelled() {
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
async fn a_result_for_a_cancelled_or_deleted_file_leaves_no_object() {
    use filesys::actions::files;
    let roles = Roles::new().await.with_intake().with_results().await.with_removals();
    let (cancelled, deleted) = (roles.request("cancelled").await, roles.request("deleted").await);
    files::cancel(&roles.ctx, cancelled.id).await.unwrap();
    files::delete(&roles.ctx, deleted.id).await.unwrap();
    for file in [&cancelled, &deleted] {
        complete_late(&roles, file, 1).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    eventually("the objects are removed", async || {
        let left = (roles.bucket.keys().await, roles.ctx.db.object_removals().count().await.unwrap());
        holds(left == (Vec::new(), 0), left)
    })
    .await;
    assert_eq!(roles.file(cancelled.id).await.status, Status::Cancelled);
    assert_eq!(roles.file(deleted.id).await.status, Status::Deleted);
    roles.stop().await;
}
