//! Events of uploads, in the order of what happened.

use bytes::Bytes;
use filesys::actions::uploads::{self, Piece};
use filesys::domain::uploads::{GivenFields, UploadFields};
use filesys::domain::{ErrorCode, File, Result, Status};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::roles::Roles;

/// More than the first bytes, by which the media type is told: before them there is no row.
static MANY: [u8; 100_000] = [b'x'; 100_000];

fn fields() -> UploadFields {
    GivenFields::default().check(Some("a.txt"), None).unwrap()
}

/// Uploads bytes as one request; without an end it is cut off.
async fn upload(roles: &Roles, bytes: &'static [u8], ends: bool) -> Result<File> {
    let (sender, pieces) = uploads::pieces();
    let (last, last_fields) = oneshot::channel();
    sender.send(Piece::Bytes(Bytes::from_static(bytes))).await.unwrap();
    if ends {
        sender.send(Piece::End).await.unwrap();
        last.send(fields()).unwrap();
    }
    drop(sender);
    uploads::upload(&roles.ctx, fields(), pieces, last_fields).await
}

async fn events(roles: &Roles, count: usize) -> Vec<Value> {
    roles.wait_until_published("file.events", count).await;
    let records = roles.records("file.events").await;
    records
        .iter()
        .map(|record| serde_json::from_slice(record.record.value.as_ref().unwrap()).unwrap())
        .collect()
}

fn told(events: &[Value]) -> Vec<(&str, &str, &str)> {
    events
        .iter()
        .map(|event| {
            let text = |value: &'static str| event[value].as_str().unwrap();
            (text("type"), text("sequence"), event["data"]["status"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn an_upload_tells_that_it_began_that_it_is_stored_and_that_it_is_there() {
    let roles = Roles::new().await.with_relay();
    let file = upload(&roles, b"hello", true).await.unwrap();
    assert_eq!(file.status, Status::Completed);
    let events = events(&roles, 3).await;
    assert_eq!(
        told(&events),
        [
            ("file.processing_started", "0000000001", "uploading"),
            ("file.processing_completed", "0000000002", "completed"),
            ("file.uploaded", "0000000003", "completed"),
        ]
    );
    let data = &events[2]["data"];
    assert_eq!((&data["fileName"], &data["origin"]), (&Value::from("a.txt"), &Value::from("uploaded")));
    assert_eq!((&data["size"], &data["sha256"]), (&Value::from(5), &Value::from(file.sha256)));
    roles.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_cut_off_tells_that_it_failed_and_leaves_no_object() {
    let roles = Roles::new().await.with_relay().with_removals();
    let error = upload(&roles, &MANY, false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::MalformedRequest);
    let events = events(&roles, 2).await;
    assert_eq!(
        told(&events),
        [
            ("file.processing_started", "0000000001", "uploading"),
            ("file.processing_failed", "0000000002", "failed"),
        ]
    );
    assert!(roles.bucket.keys().await.is_empty());
    roles.stop().await;
}
