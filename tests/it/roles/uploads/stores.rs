//! Uploads whose store refuses, is slow, or was left in the middle of something.

use std::time::Duration;

use bytes::Bytes;
use filesys::actions::uploads::{self, NewUpload, Piece, Started};
use filesys::domain::uploads::GivenFields;
use filesys::domain::{ErrorCode, FileId, MediaType, Status};
use filesys::jobs::remove_objects;
use filesys::storage::Storage;
use secrecy::ExposeSecret;

use super::{MIB, assert_holds, content, create, finish, head, offset, patch, sha256, try_send};
use crate::support::proxy::s3::{Direct, S3Mode, S3Proxy};
use crate::support::roles::Roles;
use crate::support::{Bucket, Ground};

async fn proxy_of(bucket: &Bucket) -> S3Proxy {
    let config = &bucket.config;
    let direct = Direct {
        bucket: config.bucket.clone(),
        access_key: config.access_key_id.clone(),
        secret_key: config.secret_access_key.expose_secret().to_owned(),
    };
    S3Proxy::start(config.endpoint.as_deref().unwrap(), direct).await
}

fn new_upload(length: usize) -> NewUpload {
    NewUpload {
        fields: GivenFields::default().check(Some("movie.mp4"), None).unwrap(),
        media_type: MediaType::unknown(),
        warning: None,
        length: Some(length as u64),
        is_resumable: true,
        tus_metadata: None,
        expires_in: Duration::from_hours(1),
    }
}

/// Starts an upload of `length` bytes and sends the first ones.
async fn begin(roles: &Roles, length: usize, bytes: Bytes) -> FileId {
    let Started { file, receiver } = uploads::start(&roles.ctx, &new_upload(length)).await.unwrap();
    let (sender, pieces) = uploads::pieces();
    let send = async {
        sender.send(Piece::Bytes(bytes)).await.unwrap();
        sender.send(Piece::End).await.unwrap();
    };
    let (written, ()) = tokio::join!(uploads::write(&roles.ctx, receiver, None, pieces), send);
    written.unwrap();
    file.id
}

async fn key_of(roles: &Roles, id: FileId) -> String {
    roles.database.one(&format!("SELECT key::text FROM uploads WHERE file_id = {id}")).await
}

async fn sql(roles: &Roles, statement: String) {
    roles.database.connect().await.batch_execute(&statement).await.unwrap();
}

#[tokio::test]
async fn a_store_that_refuses_in_the_middle_of_an_upload_costs_no_byte() {
    let ground = Ground::new().await;
    let proxy = proxy_of(&ground.bucket).await;
    let endpoint = format!("http://{}", proxy.address());
    let app = ground.start(&[("S3_ENDPOINT", &endpoint)]).await;
    let bytes = content(7, 20 * MIB);
    let id = create(&app, "refused.bin", bytes.len()).await;
    proxy.hit_next(S3Mode::SlowDown, 2);
    finish(&app, id, &bytes, usize::MAX / 2).await;
    assert_eq!(proxy.hits(), 2);
    assert_eq!(app.file(id).await.sha256, Some(sha256(&bytes)));

    let id = create(&app, "refused longer.bin", bytes.len()).await;
    let first = try_send(patch(&app, id, 0, bytes.slice(..9 * MIB))).await.unwrap();
    assert_eq!(first.status, 204);
    proxy.set(S3Mode::SlowDown, 100);
    let answer = try_send(patch(&app, id, 9 * MIB, bytes.slice(9 * MIB..))).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    proxy.set(S3Mode::Pass, 0);
    assert!(offset(&head(&app, id).await.unwrap()) >= 9 * MIB);
    finish(&app, id, &bytes, MIB * 4).await;
    assert_eq!(sha256(&app.content(id).await.ok().body), sha256(&bytes));
    app.stop().await;
}

/// A lock that ended meanwhile would let two requests write the same tail, and the late one win.
#[tokio::test]
async fn a_request_that_waits_for_the_store_for_longer_than_the_lease_keeps_its_upload() {
    let mut roles = Roles::new().await;
    let proxy = proxy_of(&roles.bucket).await;
    let mut config = roles.bucket.config.clone();
    config.endpoint = Some(format!("http://{}", proxy.address()));
    roles.ctx.storage = Storage::new(&config).unwrap();
    // Each costs the time limit of a request.
    proxy.hit_next(S3Mode::Silence, 2);
    let mut writing = Box::pin(begin(&roles, 2 * MIB, content(8, MIB)));
    let early = tokio::time::timeout(Duration::from_secs(12), &mut writing).await;
    assert!(early.is_err(), "the store is silent");
    let id = FileId(roles.database.one("SELECT file_id FROM uploads").await);
    let error = tokio::select! {
        locked = uploads::lock(&roles.ctx, id) => locked.err().expect("it is held"),
        written = &mut writing => panic!("{written} was written early"),
    };
    assert_eq!(error.code, ErrorCode::UploadLocked);
    assert_eq!(writing.as_mut().await, id);
    drop(writing);
    let receiver = uploads::lock(&roles.ctx, id).await.unwrap();
    assert_eq!(receiver.received(), MIB as u64);
    roles.stop().await;
}

#[tokio::test]
async fn an_upload_that_can_not_be_finished_holds_up_no_other() {
    let roles = Roles::new().await;
    let broken = begin(&roles, 2 * MIB, content(9, MIB)).await;
    let sound = begin(&roles, 2 * MIB, content(10, MIB)).await;
    // As if all was stored when their process was killed.
    sql(&roles, "UPDATE uploads SET length = stored".to_owned()).await;
    let key = key_of(&roles, broken).await;
    roles.bucket.remove(&format!("{key}.tail-1")).await;
    assert_eq!(uploads::finish_stored(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.file(sound).await.status, Status::Completed);
    assert_eq!(roles.file(broken).await.status, Status::Uploading);
    // Nor does it live for ever.
    sql(&roles, "UPDATE uploads SET expires_at = now()".to_owned()).await;
    assert_eq!(uploads::finish_stored(&roles.ctx).await.unwrap(), 0);
    assert_eq!(uploads::expire(&roles.ctx).await.unwrap(), 1);
    assert_eq!(roles.file(broken).await.status, Status::Failed);
    roles.stop().await;
}

#[tokio::test]
async fn a_multipart_upload_whose_id_was_never_written_down_is_aborted() {
    let roles = Roles::new().await;
    let whole = content(11, 6 * MIB);
    let failed = begin(&roles, whole.len(), whole.slice(..MIB)).await;
    let completed = begin(&roles, whole.len(), whole.slice(..MIB)).await;
    let key = key_of(&roles, completed).await;
    for id in [failed, completed] {
        // As if the process was killed while it started one.
        let key = key_of(&roles, id).await;
        roles.ctx.storage.start_upload(&key, "video/mp4").await.unwrap();
        sql(&roles, format!("UPDATE uploads SET s3_upload_id = '' WHERE file_id = {id}")).await;
    }
    sql(&roles, format!("UPDATE uploads SET expires_at = now() WHERE file_id = {failed}")).await;
    assert_eq!(uploads::expire(&roles.ctx).await.unwrap(), 1);
    let request = uploads::AppendRequest { offset: MIB as u64, ..uploads::AppendRequest::default() };
    let (sender, pieces) = uploads::pieces();
    let send = async {
        sender.send(Piece::Bytes(whole.slice(MIB..))).await.unwrap();
        sender.send(Piece::End).await.unwrap();
    };
    let (appended, ()) = tokio::join!(uploads::append(&roles.ctx, completed, request, pieces), send);
    assert_eq!(appended.unwrap().file.unwrap().sha256, Some(sha256(&whole)));
    assert_eq!(roles.bucket.multipart_uploads().await.len(), 2);
    sql(&roles, "UPDATE object_removals SET retry_at = now()".to_owned()).await;
    while remove_objects::process_batch(&roles.ctx).await.unwrap() > 0 {}
    assert_holds(&roles.bucket, std::slice::from_ref(&key)).await;
    assert_eq!(sha256(&roles.bucket.object(&key).await), sha256(&whole));
    roles.stop().await;
}
