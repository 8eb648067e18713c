//! Results of workers: accepted as far as they can be checked, dead-lettered otherwise.

use std::collections::BTreeMap;

use filesys::actions::files;
use filesys::domain::messages::topics;
use filesys::domain::{File, FileId, Status};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::records::{header, origin};
use crate::support::roles::Roles;

/// Roles without a worker.
async fn recorder() -> Roles {
    Roles::new().await.with_results().await.with_intake()
}

fn location(roles: &Roles, id: FileId) -> String {
    format!("s3://{}/{}", roles.bucket.name(), key(id))
}

fn key(id: FileId) -> String {
    format!("files/{id}_a_1767398400000.txt")
}

/// Stores the object that another implementation of the worker would make.
async fn store(roles: &Roles, id: FileId) {
    roles.bucket.put(&key(id), CONTENT).await;
}

const CONTENT: &[u8] = b"made elsewhere";

async fn say(roles: &Roles, result: &Value) {
    roles.publish(topics::CREATED, Some(result.to_string().as_bytes())).await;
}

async fn wait_until(roles: &Roles, id: FileId, status: Status) -> File {
    eventually(&format!("file {id} becomes {}", status.name()), async || {
        let file = roles.file(id).await;
        if file.status == status { Ok(file) } else { Err(format!("{file:?}")) }
    })
    .await
}

#[tokio::test]
async fn a_result_with_the_source_systems_members_alone_completes_the_file() {
    let roles = recorder().await;
    let file = roles.request("a").await;
    let location = location(&roles, file.id);
    store(&roles, file.id).await;
    say(
        &roles,
        &json!({"fileId": file.id, "title": "a", "s3Location": location, "status": "completed",
                "timestamp": "2026-01-04T12:00:00.000Z"}),
    )
    .await;
    let done = wait_until(&roles, file.id, Status::Completed).await;
    assert_eq!(done.s3_location, Some(location));
    let size = i64::try_from(CONTENT.len()).unwrap();
    assert_eq!((done.size, done.sha256, done.attempt.0), (Some(size), None, 1), "its size is the store's");
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}

#[tokio::test]
async fn a_location_that_is_not_the_files_own_changes_nothing() {
    let roles = recorder().await;
    let file = roles.request("a").await;
    let (id, bucket) = (file.id, roles.bucket.name());
    let foreign = [
        format!("s3://another-bucket/files/{id}_a_1.txt"),
        format!("s3://{bucket}/files/{}_a_1.txt", id.0 + 1),
        format!("s3://{bucket}/files/{id}0_a_1.txt"),
        format!("s3://{bucket}/files/{id}_/../../secret"),
        format!("s3://{bucket}/other/{id}_a_1.txt"),
        format!("s3://{bucket}x/files/{id}_a_1.txt"),
        format!("http://{bucket}/files/{id}_a_1.txt"),
        format!("s3://{bucket}/files/{id}_"),
        format!("s3://{bucket}/files/{id}_{}.txt", "a".repeat(500)),
    ];
    for location in &foreign {
        say(&roles, &json!({"fileId": id, "s3Location": location, "status": "completed"})).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.file(id).await, file);
    assert_eq!(roles.ctx.db.files().history(id).await.unwrap().len(), 1);
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    assert_eq!(dead_letters.len(), foreign.len());
    for dead_letter in &dead_letters {
        assert!(header(dead_letter, "x-error").contains("s3Location is not an object of file"));
        assert_eq!(dead_letter.record.key.as_deref(), Some(id.to_string().as_bytes()));
    }
    roles.stop().await;
}

#[tokio::test]
async fn poison_among_good_results_is_dead_lettered_once_and_its_neighbours_are_recorded() {
    let roles = recorder().await;
    let poison: [Option<&[u8]>; 12] = [
        None,
        Some(b""),
        Some(b"not json"),
        Some(b"\xff\xff"),
        Some(b"[1]"),
        Some(b"{}"),
        Some(br#"{"fileId":0,"status":"failed"}"#),
        Some(br#"{"fileId":1,"status":"finished"}"#),
        Some(br#"{"fileId":1,"status":"completed"}"#),
        Some(br#"{"fileId":1,"status":"processing","attempt":-1}"#),
        Some(br#"{"fileId":1,"status":"processing","attempt":"first"}"#),
        Some(br#"{"fileId":9223372036854775807,"status":"failed","error":"of nobody"}"#),
    ];
    let mut published = BTreeMap::new();
    let mut asked = Vec::new();
    for value in poison {
        let file = roles.request("a").await;
        published.insert(roles.publish(topics::CREATED, value).await, value);
        store(&roles, file.id).await;
        say(
            &roles,
            &json!({"fileId": file.id, "s3Location": location(&roles, file.id), "status": "completed"}),
        )
        .await;
        asked.push(file.id);
    }
    for id in asked {
        wait_until(&roles, id, Status::Completed).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    assert_eq!(dead_letters.len(), poison.len(), "{dead_letters:#?}");
    for dead_letter in &dead_letters {
        let value = published.remove(&origin(dead_letter)).expect("dead-lettered once");
        assert_eq!(dead_letter.record.value.as_deref(), value);
        assert!(!header(dead_letter, "x-error").is_empty());
    }
    roles.stop().await;
}

#[tokio::test]
async fn a_failure_is_recorded_with_its_reason_cut_to_what_a_page_can_show() {
    let roles = recorder().await;
    let file = roles.request("a").await;
    let reason = format!("why\u{0} {}", "so ".repeat(2000));
    say(
        &roles,
        &json!({"fileId": file.id, "status": "failed", "error": reason, "attempt": 1, "s3Location": null}),
    )
    .await;
    let failed = wait_until(&roles, file.id, Status::Failed).await;
    let error = failed.error.expect("a reason");
    assert!(error.starts_with("why so so"), "{error}");
    assert_eq!(error.chars().count(), 2000);
    assert_eq!(failed.s3_location, None);
    roles.stop().await;
}

/// Results as other implementations write them: zero values, number types, a byte order mark.
#[tokio::test]
async fn a_failure_is_recorded_whatever_else_the_result_says() {
    let roles = recorder().await;
    let more = [
        r#""s3Location":"""#,
        r#""s3Location":"","attempt":0,"size":0,"sha256":"","worker":"","partition":0,"offset":0,"durationMs":0"#,
        r#""durationMs":12.7"#,
        r#""size":-1,"sha256":"ABC","title":7,"timestamp":"yesterday""#,
        r#""attempt":1.0,"partition":"1","x":1e999"#,
    ];
    for more in more {
        let file = roles.request("a").await;
        let value =
            format!("\u{feff}{{\"fileId\":{},\"status\":\"failed\",\"error\":\"boom\",{more}}}", file.id);
        roles.publish(topics::CREATED, Some(value.as_bytes())).await;
        let failed = wait_until(&roles, file.id, Status::Failed).await;
        assert_eq!(failed.error.as_deref(), Some("boom"), "{more}");
    }
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}

/// Sizes and digests that were not compared would stay in the row for ever, and the true result would be a repetition.
#[tokio::test]
async fn what_is_said_of_an_object_is_compared_with_it_before_it_is_believed() {
    let roles = recorder().await;
    let file = roles.request("a").await;
    let (id, zeros) = (file.id, "0".repeat(64));
    let digest = filesys::storage::Stored::of(CONTENT).sha256;
    let completed = |more: Value| {
        let mut result = json!({"fileId": id, "status": "completed", "s3Location": location(&roles, id)});
        result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        result
    };
    let missing = completed(json!({"size": i64::MAX, "sha256": zeros}));
    say(&roles, &missing).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    store(&roles, id).await;
    let wrong = [
        json!({"size": i64::MAX}),
        json!({"size": 1}),
        json!({"sha256": zeros}),
        json!({"size": CONTENT.len(), "sha256": zeros, "proof": zeros}),
        json!({"attempt": 1, "size": 13, "sha256": digest, "proof": digest}),
    ];
    for more in &wrong {
        say(&roles, &completed(more.clone())).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.file(id).await, file);
    let dead_letters = roles.records(topics::DEAD_LETTERS).await;
    let mut causes: Vec<&str> =
        dead_letters.iter().map(|dead_letter| header(dead_letter, "x-error")).collect();
    causes.sort_unstable();
    assert_eq!(causes.len(), wrong.len() + 1, "{causes:?}");
    assert!(causes[..5].iter().all(|cause| cause.contains("the object has ")), "{causes:?}");
    assert!(causes[5].contains("there is no object"), "{causes:?}");

    say(&roles, &completed(json!({"size": CONTENT.len(), "sha256": digest, "attempt": 1}))).await;
    let done = wait_until(&roles, id, Status::Completed).await;
    assert_eq!((done.size, done.sha256), (i64::try_from(CONTENT.len()).ok(), Some(digest)));
    // Late ones change nothing, whatever they say.
    say(&roles, &missing).await;
    roles.wait_until_all_is_committed(topics::CREATED).await;
    assert_eq!(roles.records(topics::DEAD_LETTERS).await.len(), wrong.len() + 1);
    roles.stop().await;
}

#[tokio::test]
async fn a_completed_file_whose_object_is_gone_or_altered_is_made_once_more_when_asked() {
    let roles = recorder().await.with_worker().await.with_relay();
    for is_gone in [true, false] {
        let file = roles.request("a").await;
        let done = wait_until(&roles, file.id, Status::Completed).await;
        let refused = files::retry(&roles.ctx, file.id).await.unwrap_err();
        assert_eq!(refused.code.name(), "status_does_not_allow", "its object is as it was");
        let location = done.s3_location.clone().unwrap();
        let key = location.split_once("/files/").map(|(_, name)| format!("files/{name}")).unwrap();
        if is_gone {
            roles.bucket.remove(&key).await;
        } else {
            let size = usize::try_from(done.size.unwrap()).unwrap();
            roles.bucket.put(&key, &vec![b'x'; size]).await;
        }
        let again = files::retry(&roles.ctx, file.id).await.unwrap();
        assert_eq!((again.status, again.attempt.0), (Status::Pending, 2));
        let made = wait_until(&roles, file.id, Status::Completed).await;
        assert_eq!((made.sha256, made.size, made.attempt.0), (done.sha256, done.size, 2));
    }
    roles.stop().await;
}

#[tokio::test]
async fn late_early_and_repeated_results_change_nothing_and_are_no_poison() {
    let roles = recorder().await;
    let file = roles.request("a").await;
    store(&roles, file.id).await;
    let completed = |attempt: i32| {
        json!({"fileId": file.id, "status": "completed", "attempt": attempt,
               "s3Location": location(&roles, file.id)})
    };
    let told = [
        completed(2),
        json!({"fileId": file.id, "status": "processing", "attempt": 1}),
        completed(1),
        completed(1),
        json!({"fileId": file.id, "status": "processing", "attempt": 1}),
        json!({"fileId": file.id, "status": "failed", "attempt": 1, "error": "too late"}),
    ];
    for result in &told {
        // One file's results keep their order: same key, same partition.
        let record = filesys::broker::Record {
            key: Some(file.id.to_string().into()),
            value: Some(result.to_string().into()),
            ..Default::default()
        };
        roles.broker.publish(topics::CREATED, vec![record]).await;
    }
    roles.wait_until_all_is_committed(topics::CREATED).await;
    let lines = roles.ctx.db.files().history(file.id).await.unwrap();
    let moves: Vec<Status> = lines.iter().map(|line| line.to).collect();
    assert_eq!(moves, [Status::Pending, Status::Processing, Status::Completed]);
    let done = roles.file(file.id).await;
    assert_eq!((done.status, done.error), (Status::Completed, None));
    assert_eq!(roles.records(topics::DEAD_LETTERS).await, []);
    roles.stop().await;
}
