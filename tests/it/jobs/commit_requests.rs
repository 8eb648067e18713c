//! Requests that come in batches and alone.

use std::time::Duration;

use filesys::domain::FileId;
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
    let elsewhere = roles.ctx.db.next_file_ids(1).await.unwrap().ids[0];
    let alone = roles.request("alone").await;
    assert!(alone.id > elsewhere, "{} after {}", alone.id, elsewhere);
}
