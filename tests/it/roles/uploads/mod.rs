//! Uploads whose server is killed, replaced, cut off or refused by its store: clients go on, and what was answered is there
//! byte for byte.

mod crashes;
mod requests;
mod resuming;
mod stores;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use filesys::domain::FileId;
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Api, Bucket, Database, PATIENCE, eventually, holds, within};

const MIB: usize = 1 << 20;
/// Time between two tries of a client.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes bytes that differ from place to place and from one number to another.
fn content(number: usize, size: usize) -> Bytes {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Sends a request; `None` when the connection breaks.
async fn try_send(request: RequestBuilder) -> Option<Answer> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<String, String> =
        answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Some(Answer::new(status, headers, answer.bytes().await.ok()?))
}

fn tus(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.request(method, path).header("Tus-Resumable", "1.0.0")
}

/// Starts an upload; `None` when there was no answer, or a refusal that passes.
async fn try_create(api: &Api, name: &str, size: usize) -> Option<FileId> {
    use base64::Engine;
    let name = base64::prelude::BASE64_STANDARD.encode(name);
    let request = tus(api, Method::POST, "/uploads")
        .header("Upload-Length", size)
        .header("Upload-Metadata", format!("filename {name}"));
    let answer = try_send(request).await?;
    if answer.status != 201 {
        assert!(answer.status >= 500, "{}: {}", answer.status, answer.text());
        return None;
    }
    let location = answer.header("location").unwrap();
    Some(FileId(location.rsplit('/').next().unwrap().parse().unwrap()))
}

async fn create(api: &Api, name: &str, size: usize) -> FileId {
    try_create(api, name, size).await.expect("an upload is started")
}

fn patch(api: &Api, id: FileId, offset: usize, bytes: Bytes) -> RequestBuilder {
    tus(api, Method::PATCH, &format!("/uploads/{id}"))
        .header("Upload-Offset", offset)
        .header("Content-Type", "application/offset+octet-stream")
        .body(bytes)
}

/// Answer to HEAD, which tells the offset.
async fn head(api: &Api, id: FileId) -> Option<Answer> {
    try_send(tus(api, Method::HEAD, &format!("/uploads/{id}"))).await
}

fn offset(answer: &Answer) -> usize {
    answer.header("upload-offset").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

/// Waits until this many bytes are stored, or more, and returns their number.
async fn stored_at_least(api: &Api, id: FileId, count: usize) -> usize {
    eventually(&format!("{count} bytes of upload {id} are stored"), async || {
        let answer = head(api, id).await.ok_or("no answer")?;
        if answer.status == 200 && offset(&answer) >= count {
            Ok(offset(&answer))
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await
}

/// Sends what is missing, at most `chunk` bytes at once, until a server answers that the file is there.
async fn finish(api: &Api, id: FileId, bytes: &Bytes, chunk: usize) {
    loop {
        if let Some(answer) = head(api, id).await {
            assert!(answer.status == 200 || answer.status >= 500, "{id}: {answer:?}");
            if answer.header("x-file-id").is_some() {
                assert_eq!(offset(&answer), bytes.len());
                return;
            }
            if answer.status == 200 {
                let from = offset(&answer);
                let part = bytes.slice(from..bytes.len().min(from + chunk));
                let answer = try_send(patch(api, id, from, part)).await;
                if let Some(answer) = &answer {
                    assert!(matches!(answer.status, 204 | 409 | 423 | 500..), "{id}: {answer:?}");
                    if answer.header("x-file-id").is_some() {
                        return;
                    }
                }
                if answer.is_some_and(|answer| answer.status == 204) {
                    continue;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A PATCH that has announced more bytes than it has sent.
struct Unfinished(TcpStream);

impl Unfinished {
    async fn begin(api: &Api, id: FileId, offset: usize, announced: usize, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let head = format!(
            "PATCH /uploads/{id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n\
             Content-Length: {announced}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Self(stream)
    }

    /// Sends the other bytes, and returns the status of the answer.
    async fn end(mut self, bytes: &[u8]) -> u16 {
        // A server that has refused it reads no more.
        let _ = self.0.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = within(PATIENCE, "an answer", self.0.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("{answer:?}"))
    }
}

/// Waits until everything that is to be removed is gone, without the time that removals leave to requests that are cut off.
async fn removals_end(database: &Database) {
    let connection = database.connect().await;
    eventually("nothing is left to be removed", async || {
        connection.execute("UPDATE object_removals SET retry_at = now()", &[]).await.unwrap();
        let left: i64 = database.one("SELECT count(*) FROM object_removals").await;
        holds(left == 0, left)
    })
    .await;
}

/// Checks that the bucket holds the objects of these keys and nothing else, of uploads in parts either.
async fn assert_holds(bucket: &Bucket, keys: &[String]) {
    let mut keys = keys.to_vec();
    keys.sort();
    assert_eq!(bucket.keys().await, keys);
    assert_eq!(bucket.multipart_uploads().await, [""; 0]);
}

/// Keys that completed files name.
async fn named_keys(database: &Database, bucket: &Bucket) -> Vec<String> {
    let prefix = format!("s3://{}/", bucket.name());
    let sql = "SELECT s3_location FROM files WHERE status = 'completed'";
    let rows = database.connect().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0).strip_prefix(&prefix).unwrap().to_owned()).collect()
}
