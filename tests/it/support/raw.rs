//! HTTP over a plain TCP connection, for requests that no client library sends.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, PATIENCE, within};

/// Builder of a request as bytes.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    headers: Vec<u8>,
    body: Vec<u8>,
    says_its_length: bool,
}

impl Request {
    pub fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            says_its_length: false,
        }
    }

    pub fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", target)
    }

    /// Begins a `POST /files` with a JSON content type.
    pub fn create(body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", "/files").header("Content-Type", "application/json").body(body)
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.extend_from_slice(name.as_bytes());
        self.headers.extend_from_slice(b": ");
        self.headers.extend_from_slice(value.as_ref());
        self.headers.extend_from_slice(b"\r\n");
        self.says_its_length |=
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding");
        self
    }

    /// Adds a body, and its length unless a header has one.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        if !self.says_its_length && !self.body.is_empty() {
            let length = self.body.len().to_string();
            self = self.header("Content-Length", length);
        }
        let mut bytes = self.method.into_bytes();
        bytes.push(b' ');
        bytes.extend(self.target);
        bytes.extend(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        bytes.extend(self.headers);
        bytes.extend(b"\r\n");
        bytes.extend(self.body);
        bytes
    }

    /// Sends it; `None` if the server closes without an answer.
    pub async fn send(self, address: &str) -> Option<Answer> {
        exchange(address, &self.bytes()).await
    }
}

/// Writes the bytes, reads to the end, and returns the first answer.
pub async fn exchange(address: &str, bytes: &[u8]) -> Option<Answer> {
    let conversation = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        // The answer may come, and the connection end, before everything is written.
        let write = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        };
        let mut answer = Vec::new();
        let ((), _cut_off) = tokio::join!(write, reader.read_to_end(&mut answer));
        answer
    };
    let answer = within(PATIENCE, "an answer or a hang-up", conversation).await;
    parse(&answer)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(rest.len());
    let body = Bytes::copy_from_slice(&rest[..length.min(rest.len())]);
    Some(Answer::new(status, headers, body))
}
