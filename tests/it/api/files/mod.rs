//! Files over HTTP: one file for each operation.

mod cancel;
mod create;
mod delete;
mod download;
mod erasure;
mod idempotency_key;
mod list;
mod retry;
mod stats;
mod texts;
mod timeline;
mod update;

use filesys::domain::messages::topics;
use filesys::domain::{File, FileId};
use reqwest::Method;
use serde_json::json;

use crate::support::roles::Roles;
use crate::support::{Answer, TestApp};

/// Settings with which a file is not finished before it is cancelled.
const SLOWLY: &[(&str, &str)] = &[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")];

async fn send(app: &TestApp, method: Method, path: &str) -> Answer {
    Answer::of(app.request(method, path)).await
}

async fn cancel(app: &TestApp, id: FileId) -> Answer {
    send(app, Method::POST, &format!("/files/{id}/cancel")).await
}

async fn retry(app: &TestApp, id: FileId) -> Answer {
    send(app, Method::POST, &format!("/files/{id}/retry")).await
}

async fn delete(app: &TestApp, id: FileId) -> Answer {
    send(app, Method::DELETE, &format!("/files/{id}")).await
}

/// Uploads a file in one request, with more fields of the form.
async fn upload(app: &TestApp, name: &str, media_type: &str, content: &str, fields: &[(&str, &str)]) -> File {
    let field = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields = fields.iter().map(field).collect::<Vec<String>>().concat();
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"");
    let body = format!("{fields}{head}\r\nContent-Type: {media_type}\r\n\r\n{content}\r\n--b--\r\n");
    let request = app.request(Method::POST, "/files");
    let answer =
        Answer::of(request.header("content-type", "multipart/form-data; boundary=b").body(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// Completes the attempt, as a worker does that has not seen the cancellation.
async fn complete_late(roles: &Roles, file: &File, attempt: i32) {
    let key = format!("files/{}_late_1.txt", file.id);
    roles.bucket.put(&key, b"late").await;
    let location = format!("s3://{}/{key}", roles.bucket.name());
    let result =
        json!({"fileId": file.id, "status": "completed", "s3Location": location, "attempt": attempt});
    roles.publish(topics::CREATED, Some(result.to_string().as_bytes())).await;
}
