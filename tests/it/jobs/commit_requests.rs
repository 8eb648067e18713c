//! Requests that come in batches and alone.

use std::time::Duration;

use filesys::actions::files;
use filesys::domain::{FileId, NewFile};
use futures_util::future::join_all;

use crate::support::roles::Roles;

#[tokio::test]
async fn ids_grow_with_time_under_load_and_after_it() {
    let roles = Roles::new().await.with_intake();
    let mut last = FileId(0);
    for count in [64, 64, 20, 40] {
        let files = join_all((0..count).map(|_| roles.request("one of many"))).await;
        let mut ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(ids[0] > last);
        last = ids[count - 1];
    }
    // Longer than clients under load take to come again. Meanwhile another process gives out an id.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let elsewhere = roles.ctx.db.files().reserve_ids(1).await.unwrap().ids[0];
    let alone = roles.request("alone").await;
    assert!(alone.id > elsewhere, "{} after {}", alone.id, elsewhere);
}

#[tokio::test]
async fn a_request_that_the_database_refuses_fails_none_of_those_in_its_commit() {
    let roles = Roles::new().await;
    let check = "ALTER TABLE files ADD CONSTRAINT refused CHECK (title <> 'refused')";
    roles.database.connect().await.batch_execute(check).await.unwrap();
    let request = |title: &'static str| {
        let ctx = roles.ctx.clone();
        tokio::spawn(async move {
            files::create(&ctx, NewFile::new(Some(title), None, None).unwrap(), None).await
        })
    };
    let requests = ["first", "refused", "last"].map(request);
    // Tasks of this runtime run in the order of their start: all are queued when the first batch is taken.
    let roles = roles.with_intake();
    let mut outcomes = Vec::new();
    for created in join_all(requests).await {
        outcomes.push(created.unwrap().map(|created| created.file.title).ok());
    }
    assert_eq!(outcomes, [Some("first".to_owned()), None, Some("last".to_owned())]);
    roles.stop().await;
}
