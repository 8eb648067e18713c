//! Retrying files: a new attempt with a new deadline.

use filesys::domain::messages::topics;
use filesys::domain::{File, Status};

use super::{SLOWLY, complete_late, retry};
use crate::support::roles::Roles;
use crate::support::{TestApp, eventually, holds};

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

#[tokio::test]
async fn the_object_of_a_file_that_is_tried_again_is_not_removed() {
    use filesys::actions::files;
    use filesys::jobs::remove_objects;
    let roles = Roles::new().await.with_intake().with_results().await;
    let file = roles.request("changed my mind").await;
    files::cancel(&roles.ctx, file.id).await.unwrap();
    complete_late(&roles, &file, 1).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.ctx.db.object_removals().count().await.unwrap(), 1);

    // Before the removal is looked at, the file is wanted again, and made under the same key.
    files::retry(&roles.ctx, file.id).await.unwrap();
    assert_eq!(remove_objects::process_batch(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.bucket.keys().await.len(), 1, "an attempt is under way");
    complete_late(&roles, &file, 2).await;
    eventually("the second attempt completes", async || {
        let file = roles.file(file.id).await;
        holds(file.status == Status::Completed, file)
    })
    .await;
    let now = "UPDATE object_removals SET retry_at = now() WHERE retry_at < 'infinity'";
    roles.database.connect().await.batch_execute(now).await.unwrap();
    assert_eq!(remove_objects::process_batch(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.ctx.db.object_removals().count().await.unwrap(), 0);
    assert_eq!(roles.bucket.keys().await.len(), 1, "the row names it");
    roles.stop().await;
}
