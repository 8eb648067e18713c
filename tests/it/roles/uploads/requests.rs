//! Several requests about one upload at once, and uploads that end early.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use filesys::domain::Status;
use reqwest::Method;
use sha2::{Digest, Sha256};

use super::{
    MIB, Unfinished, assert_holds, content, create, finish, head, named_keys, offset, patch, removals_end,
    sha256, stored_at_least, try_send, tus,
};
use crate::support::{TestApp, eventually, holds};

#[tokio::test]
async fn of_two_clients_that_write_to_one_upload_the_second_is_refused_and_its_bytes_change_nothing() {
    let app = TestApp::start().await;
    let bytes = content(1, 3 * MIB);
    let id = create(&app, "two.bin", bytes.len()).await;
    let first = Unfinished::begin(&app, id, 0, bytes.len(), &bytes[..MIB]).await;
    let other = content(2, bytes.len());
    eventually("the first one holds the lock", async || {
        let locked: i64 =
            app.ground.database.one("SELECT count(*) FROM uploads WHERE locked_until > now()").await;
        holds(locked == 1, locked)
    })
    .await;
    let refused = try_send(patch(&app, id, 0, other.slice(..10))).await.unwrap();
    assert_eq!(refused.status, 423, "{}", refused.text());
    assert_eq!(refused.problem()["code"], "upload_locked");
    assert_eq!(first.end(&bytes[MIB..]).await, 204);
    let file = app.file(id).await;
    assert_eq!((file.status, file.sha256), (Status::Completed, Some(sha256(&bytes))));
    app.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_ended_while_its_bytes_arrive_leaves_nothing() {
    let app = TestApp::start().await;
    let bytes = content(3, 20 * MIB);
    let id = create(&app, "ended.bin", bytes.len()).await;
    let writing = Unfinished::begin(&app, id, 0, bytes.len(), &bytes[..18 * MIB]).await;
    // Its parts are on their way, or stored.
    stored_at_least(&app, id, 16 * MIB).await;
    let answer = try_send(tus(&app, Method::DELETE, &format!("/uploads/{id}"))).await.unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(writing.end(&bytes[18 * MIB..]).await, 423);
    assert_eq!(app.file(id).await.status, Status::Cancelled);
    assert_eq!(head(&app, id).await.unwrap().status, 410);
    removals_end(&app.ground.database).await;
    assert_holds(&app.ground.bucket, &[]).await;
    app.stop().await;
}

#[tokio::test]
async fn an_upload_that_no_client_goes_on_with_fails_and_leaves_nothing() {
    let app = TestApp::start().await;
    let bytes = content(4, 20 * MIB);
    let id = create(&app, "left.bin", bytes.len()).await;
    for (from, to) in [(0, 9 * MIB), (9 * MIB, 9 * MIB + 10), (9 * MIB + 10, 9 * MIB + 20)] {
        let answer = try_send(patch(&app, id, from, bytes.slice(from..to))).await.unwrap();
        assert_eq!((answer.status, offset(&answer)), (204, to));
    }
    assert_eq!(app.ground.bucket.keys().await.len(), 2, "both tails");
    assert_eq!(app.ground.bucket.multipart_uploads().await.len(), 1);
    let connection = app.ground.database.connect().await;
    connection.execute("UPDATE uploads SET expires_at = now()", &[]).await.unwrap();
    let file = app.wait_until(id, Status::Failed).await;
    assert_eq!(file.error.as_deref(), Some("its bytes stopped arriving"));
    assert_eq!(head(&app, id).await.unwrap().status, 410);
    removals_end(&app.ground.database).await;
    assert_holds(&app.ground.bucket, &[]).await;
    app.stop().await;
}

#[tokio::test]
async fn bytes_without_their_checksum_are_not_taken_and_the_right_ones_are() {
    let app = TestApp::start().await;
    let bytes = content(5, 20 * MIB);
    let id = create(&app, "checked.bin", bytes.len()).await;
    let checksum = |bytes: &[u8]| format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(bytes)));
    let send = async |from: usize, sent: Bytes, checksum: String| {
        try_send(patch(&app, id, from, sent).header("Upload-Checksum", checksum)).await.unwrap()
    };
    let first = bytes.slice(..MIB);
    assert_eq!(send(0, first.clone(), checksum(&first)).await.status, 204);
    // More than parts that are sent before the checksum is known.
    let altered = content(6, 19 * MIB);
    let answer = send(MIB, altered, checksum(&bytes[MIB..])).await;
    assert_eq!((answer.status, answer.problem()["code"].clone()), (460, "checksum_mismatch".into()));
    assert_eq!(offset(&head(&app, id).await.unwrap()), MIB);
    let rest = bytes.slice(MIB..);
    assert_eq!(send(MIB, rest.clone(), checksum(&rest)).await.status, 204);
    assert_eq!(sha256(&app.content(id).await.ok().body), sha256(&bytes));
    finish(&app, id, &bytes, MIB).await;
    removals_end(&app.ground.database).await;
    assert_holds(&app.ground.bucket, &named_keys(&app.ground.database, &app.ground.bucket).await).await;
    app.stop().await;
}
