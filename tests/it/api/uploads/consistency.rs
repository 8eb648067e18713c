//! Check after uploads of every kind that the rows, the bucket and the table of uploads tell the same.

use std::collections::BTreeSet;

use crate::support::{TestApp, eventually, holds};

/// Waits until no upload is unfinished and the bucket has exactly the objects of the files that are there.
pub async fn rows_and_objects_agree(app: &TestApp) {
    let database = app.ground.database.connect().await;
    eventually("rows and objects tell the same", async || {
        let unfinished = "SELECT (SELECT count(*) FROM uploads) + \
                          (SELECT count(*) FROM files WHERE status IN ('uploading', 'processing', 'pending'))";
        let unfinished: i64 = database.query_one(unfinished, &[]).await.unwrap().get(0);
        let removals = "SELECT count(*) FROM object_removals";
        let removals: i64 = database.query_one(removals, &[]).await.unwrap().get(0);
        let stored = "SELECT s3_location FROM files WHERE status = 'completed'";
        let prefix = format!("s3://{}/", app.ground.bucket.name());
        let stored: BTreeSet<String> = database
            .query(stored, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get::<_, String>(0).strip_prefix(&prefix).expect("a key of the bucket").to_owned())
            .collect();
        let objects: BTreeSet<String> = app.ground.bucket.keys().await.into_iter().collect();
        let orphans: Vec<_> = objects.difference(&stored).collect();
        let missing: Vec<_> = stored.difference(&objects).collect();
        let clean = unfinished == 0 && removals == 0 && orphans.is_empty() && missing.is_empty();
        holds(clean, (unfinished, removals, orphans, missing))
    })
    .await;
}
