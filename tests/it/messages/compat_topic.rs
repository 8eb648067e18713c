//! The topic for consumers of the third source system: what is told there, and that nothing is told unless it is wanted.

use filesys::actions::files;
use filesys::actions::uploads::{self, Piece};
use filesys::config::events::CompatConfig;
use filesys::domain::messages::{MessageSchema, topics};
use filesys::domain::uploads::{GivenFields, UploadField};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::events::event;
use crate::support::json_schema::{problems, unknown_members};
use crate::support::records::header;
use crate::support::roles::Roles;

const TOPIC: &str = "file-events";

async fn told(roles: &Roles) -> Vec<Value> {
    let schema = MessageSchema::FileEventsCompat.json();
    let records = roles.records(TOPIC).await;
    let check = |delivery: &filesys::broker::Delivery| {
        let value: Value = serde_json::from_slice(delivery.record.value.as_deref().unwrap()).unwrap();
        assert_eq!(problems(&schema, &value), [""; 0], "{value}");
        assert_eq!(unknown_members(&schema, &value), [""; 0], "{value}");
        assert_eq!(delivery.record.key.as_deref(), value["fileMetadata"]["id"].as_str().map(str::as_bytes));
        assert_eq!(header(delivery, "schema-version"), "1");
        assert_eq!(delivery.record.headers.get("content-type"), None);
        value
    };
    records.iter().map(check).collect()
}

#[tokio::test]
async fn stored_and_deleted_files_are_told_with_what_they_were() {
    let mut roles = Roles::new().await;
    let compat = CompatConfig { topic: TOPIC.into(), bucket_url: "http://s3.example/bucket".into() };
    roles.ctx.events.compat = Some(compat);
    roles.make_topics_with(Some(TOPIC)).await;
    let roles = roles.with_intake().with_relay().with_worker().await.with_results().await;

    let id = roles.request("titled").await.id;
    roles.wait_until_published(TOPIC, 1).await;
    let stored = roles.file(id).await;
    let key = stored.s3_location.as_deref().unwrap().rsplit_once("/files/").unwrap().1;
    let metadata = json!({
        "id": id.to_string(),
        "filename": "titled.txt",
        "s3Key": format!("files/{key}"),
        "s3Url": format!("http://s3.example/bucket/files/{key}"),
        "fileSize": stored.size,
        "contentType": stored.content_type,
        "uploadedBy": null,
        "uploadedAt": stored.created_at.epoch_millis(),
    });
    let uploaded = json!({
        "eventType": "UPLOADED", "fileMetadata": metadata, "timestamp": stored.updated_at.epoch_millis()
    });
    assert_eq!(told(&roles).await, std::slice::from_ref(&uploaded));

    files::delete(&roles.ctx, id).await.unwrap();
    roles.wait_until_published(TOPIC, 2).await;
    let deleted = roles.file(id).await.updated_at.epoch_millis();
    let deleted = json!({"eventType": "DELETED", "fileMetadata": metadata, "timestamp": deleted});
    assert_eq!(told(&roles).await, [uploaded, deleted]);
    roles.stop().await;
}

#[tokio::test]
async fn a_file_that_was_never_stored_is_not_told_there() {
    let mut roles = Roles::new().await;
    roles.ctx.events.compat =
        Some(CompatConfig { topic: TOPIC.into(), bucket_url: "http://s3.example/b".into() });
    let roles = roles.with_intake();
    let id = roles.request("titled").await.id;
    files::delete(&roles.ctx, id).await.unwrap();
    let topics = "SELECT string_agg(topic, ',' ORDER BY id) FROM outbox";
    assert_eq!(roles.database.one::<String>(topics).await, "file.create,file.events,file.events");
    roles.stop().await;
}

#[tokio::test]
async fn without_the_setting_nothing_is_told_there() {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await.with_results().await;
    let id = roles.request("titled").await.id;
    roles.wait_until_published("file.events", 3).await;
    files::delete(&roles.ctx, id).await.unwrap();
    roles.wait_until_published("file.events", 4).await;
    assert!(!roles.broker.topics().await.unwrap().contains_key(TOPIC));
    assert_eq!(roles.ctx.db.outbox().size().await.unwrap(), 0);
    roles.stop().await;
}

#[tokio::test]
async fn an_upload_is_told_once_with_its_owner() {
    let mut roles = Roles::new().await;
    roles.ctx.events.compat =
        Some(CompatConfig { topic: TOPIC.into(), bucket_url: "http://s3.example/b".into() });
    roles.make_topics_with(Some(TOPIC)).await;
    let roles = roles.with_relay();
    let mut given = GivenFields::default();
    for (field, value) in [
        (UploadField::UploadedBy, "alice"),
        (UploadField::Tags, "holiday"),
        (UploadField::RelatedPostId, "7"),
    ] {
        given.add(field, value);
    }
    let fields = || given.check(Some("photo of us.txt"), None).unwrap();
    let (sender, pieces) = uploads::pieces();
    let (last, last_fields) = oneshot::channel();
    for piece in [Piece::Bytes("hello".into()), Piece::End] {
        sender.send(piece).await.unwrap();
    }
    last.send(fields()).unwrap();
    let file = uploads::upload(&roles.ctx, fields(), pieces, last_fields).await.unwrap();
    roles.wait_until_published(topics::EVENTS, 3).await;
    files::delete(&roles.ctx, file.id).await.unwrap();
    roles.wait_until_published(TOPIC, 2).await;
    let told = told(&roles).await;
    assert_eq!([&told[0]["eventType"], &told[1]["eventType"]], ["UPLOADED", "DELETED"]);
    for record in told {
        let metadata = &record["fileMetadata"];
        assert_eq!([&metadata["uploadedBy"], &metadata["filename"]], ["alice", "photo of us.txt"]);
        assert!(
            metadata["s3Key"].as_str().unwrap().starts_with(&format!("uploads/alice/{}/", file.id)),
            "{metadata}"
        );
    }
    let uploaded =
        roles.records(topics::EVENTS).await.iter().map(event).find(|event| event["type"] == "file.uploaded");
    let data = uploaded.unwrap()["data"].clone();
    assert_eq!((&data["relatedPostId"], &data["metadata"]["tags"]), (&json!("7"), &json!(["holiday"])));
    roles.stop().await;
}
