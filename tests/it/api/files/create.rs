//! Creating files: the request is answered at once, the file is completed later.

use std::fmt::Write;

use filesys::domain::{File, Status};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::TestApp;

#[tokio::test]
async fn a_request_is_answered_at_once_with_the_whole_pending_record() {
    let app = TestApp::start().await;
    let answer = app.post(&json!({"title": "My Important Document", "description": "what it says"})).await;
    assert_eq!(answer.status, 201);
    let file: Value = answer.json();
    let id = file["id"].as_i64().expect("the id is a number");
    assert_eq!(answer.header("location"), Some(format!("/files/{id}").as_str()));
    let created_at = file["created_at"].clone();
    assert_eq!(
        file,
        json!({
            "id": id, "title": "My Important Document", "description": "what it says", "status": "pending",
            "s3_location": null, "created_at": created_at, "updated_at": created_at, "format": "txt",
            "content_type": "text/plain; charset=utf-8", "size": null, "sha256": null, "attempt": 1,
            "error": null, "erased_at": null, "origin": "generated", "file_name": null, "file_type": "text",
            "claimed_type": null, "uploaded_by": null, "uploaded_by_name": null, "folder": null, "tags": [],
            "related_post_id": null, "related_category_id": null, "metadata": {}, "view_count": 0,
            "download_count": 0, "expires_at": null, "trashed_at": null,
        })
    );
    app.stop().await;
}

#[tokio::test]
async fn a_completed_file_has_the_key_the_bytes_and_the_digest_of_the_contract() {
    let app = TestApp::start().await;
    let asked = app.post(&json!({"title": "My Important Document", "description": "two\nlines"})).await;
    let file = app.wait_until_completed(asked.json::<File>().id).await;

    let expected = format!(
        "===================\nGENERATED FILE\n===================\n\
         Title: My Important Document\nDescription: two\nlines\nGenerated at: {}\n",
        file.created_at
    );
    let key = format!("files/{}_my_important_document_{}.txt", file.id, file.created_at.epoch_millis());
    let bucket = &app.ground.bucket;
    assert_eq!(bucket.keys().await, [key.as_str()]);
    assert_eq!(bucket.object(&key).await, expected);
    assert_eq!(app.content(file.id).await.ok().text(), expected);
    let location = format!("s3://{}/{key}", bucket.name());
    assert_eq!(file.s3_location, Some(location));
    assert_eq!(file.size, Some(i64::try_from(expected.len()).unwrap()));
    assert_eq!(file.sha256, Some(sha256(expected.as_bytes())));
    assert_eq!((file.attempt.0, file.error), (1, None));
    assert!(file.updated_at > file.created_at);
    app.stop().await;
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

#[tokio::test]
async fn a_description_may_be_missing_null_or_empty_and_other_members_are_ignored() {
    let app = TestApp::start().await;
    for (body, kept) in [
        (json!({"title": "a"}), Value::Null),
        (json!({"title": "a", "description": null}), Value::Null),
        (json!({"title": "a", "description": ""}), json!("")),
        (json!({"title": "a", "format": "txt", "status": "completed", "id": 7, "x": {"y": []}}), Value::Null),
    ] {
        let answer = app.post(&body).await;
        assert_eq!(answer.status, 201, "{body}");
        let file: Value = answer.json();
        assert_eq!(file["description"], kept, "{body}");
        assert_eq!(file["status"], "pending");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_title_is_trimmed_and_every_language_has_255_characters() {
    let app = TestApp::start().await;
    let longest = "漢".repeat(255);
    let file = app.post_file(&format!(" \n{longest}\t")).await;
    assert_eq!(file.title, longest);
    let file = app.wait_until_completed(file.id).await;
    assert!(app.content(file.id).await.text().contains(&longest));
    app.stop().await;
}

#[tokio::test]
async fn the_longest_description_is_kept_byte_for_byte() {
    let app = TestApp::start().await;
    // Every byte of it needs six in JSON.
    let longest = "\u{1}".repeat(64 * 1024);
    let answer = app.post(&json!({"title": "long", "description": longest})).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let file = app.wait_until_completed(answer.json::<File>().id).await;
    assert_eq!(file.description.as_ref(), Some(&longest));
    assert!(app.content(file.id).await.text().contains(&longest));
    app.stop().await;
}

#[tokio::test]
async fn times_have_three_decimals_and_end_in_z() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let record: Value = app.get(&format!("/files/{}", file.id)).await.json();
    let timeline: Value = app.get(&format!("/files/{}/timeline", file.id)).await.json();
    for time in [&record["created_at"], &record["updated_at"], &timeline[0]["at"], &timeline[1]["at"]] {
        let text = time.as_str().expect("a time is a string");
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99T99:99:99.999Z", "{text}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hundred_requests_at_once_each_get_their_own_file() {
    let app = TestApp::start().await;
    let files = app.post_files((0..100).map(|n| format!("file {n}"))).await;
    let ids: std::collections::BTreeSet<_> = files.iter().map(|file| file.id).collect();
    assert_eq!(ids.len(), 100);
    let stats = app.wait_until_all_completed().await;
    assert_eq!(stats.total, 100);
    for file in files.iter().step_by(33) {
        let made = app.file(file.id).await;
        assert_eq!((&made.title, made.status), (&file.title, Status::Completed));
        assert!(app.content(file.id).await.text().contains(&format!("Title: {}\n", file.title)));
    }
    assert_eq!(app.ground.bucket.keys().await.len(), 100);
    app.stop().await;
}
