//! Uploads in one request: `multipart/form-data`.

use http::StatusCode;
use serde::Deserialize;

use super::Outcome;
use super::client::Connection;
use super::content::{Content, hex};

const BOUNDARY: &str = "----filesys-bench-7f3a1c";

/// Members of the record that are checked.
#[derive(Debug, Deserialize)]
pub struct Record {
    status: String,
    size: Option<usize>,
    sha256: Option<String>,
}

impl Record {
    /// Fails unless the file is there, with these bytes.
    pub fn check(&self, size: usize, sha256: &[u8; 32]) -> Outcome<()> {
        let whole = self.status == "completed"
            && self.size == Some(size)
            && self.sha256.as_deref() == Some(hex(sha256).as_str());
        if whole { Ok(()) } else { Err(format!("not the file that was sent: {self:?}").into()) }
    }
}

/// Uploads one file; returns its record.
pub async fn upload(connection: &mut Connection, name: &str, size: usize) -> Outcome<Record> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let body = Content::between(head, size, format!("\r\n--{BOUNDARY}--\r\n"));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("content-type", content_type.as_str()), ("accept", "application/json")];
    let answer = connection.send(("POST", "/files"), &headers, body, StatusCode::CREATED).await?;
    Ok(serde_json::from_slice(&answer.body)?)
}
