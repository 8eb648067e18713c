//! Trials of the readers: a service with one defect each time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Failure, SelfTest, Trial};
use crate::load::request::{COMPOSED, DECOMPOSED};
use crate::load::watch::Watch;
use crate::load::{Load, Plan};
use crate::verify::content::{content, sha256};

/// Defect of the fake service, from its second answer about a file on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    Nothing,
    StatusGoesBack,
    OutcomeChanges,
    AttemptFalls,
    DeletedComesBack,
    OtherTitle,
    NotFound,
    OtherBytes,
    OtherDigest,
    ObjectMissing,
    /// No defect.
    Unavailable,
}

const TRIALS: [(&str, Defect, &[&str]); 11] = [
    ("an honest service", Defect::Nothing, &[]),
    ("a status goes back", Defect::StatusGoesBack, &["status-went-back"]),
    ("an outcome becomes another", Defect::OutcomeChanges, &["status-went-back"]),
    ("an attempt falls", Defect::AttemptFalls, &["status-went-back"]),
    ("a deleted file comes back", Defect::DeletedComesBack, &["status-went-back"]),
    ("a record changes its title", Defect::OtherTitle, &["record-changed"]),
    ("an accepted file is not found", Defect::NotFound, &["accepted-not-found"]),
    ("a download has other bytes", Defect::OtherBytes, &["download-differs"]),
    ("a record has another digest", Defect::OtherDigest, &["record-differs"]),
    ("a completed file can't be downloaded", Defect::ObjectMissing, &["completed-not-there"]),
    ("a service that is away", Defect::Unavailable, &[]),
];

/// Looks of one trial.
const LOOKS: u64 = 40;
const LIMIT: Duration = Duration::from_secs(20);
const CREATED_AT: &str = "2026-01-03T00:00:00.000Z";

pub(super) async fn trials(test: &mut SelfTest<'_>) -> Result<(), Failure> {
    let folder = test.evidence.journal.with_extension("watched");
    std::fs::create_dir_all(&folder)?;
    for (number, (broke, defect, expected)) in TRIALS.into_iter().enumerate() {
        let mut reported = watch(defect, &folder.join(number.to_string())).await?;
        reported.sort_unstable();
        reported.dedup();
        let expected: Vec<String> = expected.iter().map(|check| (*check).to_owned()).collect();
        let passed = expected == reported;
        test.trials.push(Trial { broke, expected, reported, passed });
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The checks that found something.
async fn watch(defect: Defect, journal: &Path) -> Result<Vec<String>, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = Arc::new(FaultyServer { defect, files: Mutex::default() });
    let addresses = vec![format!("http://{}", listener.local_addr()?)];
    let mut service = JoinSet::new();
    service.spawn(Arc::clone(&server).listen(listener));

    let plan =
        Plan { addresses, requests: 12, concurrency: 1, rate: None, seed: 7, journal: journal.to_owned() };
    let [no_more, enough] = [(); 2].map(|()| CancellationToken::new());
    let load = Load::start(plan, no_more);
    let watch = Watch::start(&load, 2, enough.clone());
    let until = tokio::time::Instant::now() + LIMIT;
    while server.looks() < LOOKS && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    enough.cancel();
    let watched = watch.finish().await;
    if server.looks() < LOOKS {
        return Err(format!("{defect:?}: only {} looks within {LIMIT:?}", server.looks()).into());
    }
    Ok(watched.violations.iter().map(|found| found.check.to_owned()).collect())
}

struct FaultyServer {
    defect: Defect,
    files: Mutex<Vec<File>>,
}

/// File as it was asked for, and how often it was looked at.
#[derive(Clone)]
struct File {
    title: String,
    description: Option<String>,
    looks: u64,
}

type Reply = (u16, Vec<u8>);

impl FaultyServer {
    fn looks(&self) -> u64 {
        self.files.lock().expect("no connection panics").iter().map(|file| file.looks).sum()
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(Arc::clone(&self).answer(stream));
        }
    }

    /// Answers one request, then the connection ends.
    async fn answer(self: Arc<Self>, mut stream: TcpStream) -> Option<()> {
        let mut request = Vec::new();
        let (head, body) = loop {
            stream.read_buf(&mut request).await.ok().filter(|read| *read > 0)?;
            let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length: usize = length.lines().next()?.trim().parse().ok()?;
            if request.len() >= end + 4 + length {
                break (head, request[end + 4..].to_vec());
            }
        };
        let path = head.split_whitespace().nth(1)?;
        let (status, reply) =
            if head.starts_with("post /files ") { self.accept(&body)? } else { self.file(path)? };
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.len());
        stream.write_all(&[head.into_bytes(), reply].concat()).await.ok()?;
        stream.shutdown().await.ok()
    }

    /// Accepts every request for a file.
    fn accept(&self, body: &[u8]) -> Option<Reply> {
        let asked: HashMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let Some(title) = asked.get("title").and_then(Value::as_str) else {
            return Some((400, b"{}".to_vec()));
        };
        let description = asked.get("description").and_then(Value::as_str).map(str::to_owned);
        let mut files = self.files.lock().expect("no connection panics");
        // Stored composed, as the product does.
        let title = title.replace(DECOMPOSED, COMPOSED);
        files.push(File { title, description, looks: 0 });
        let file = files.last()?.clone();
        Some((201, self.record(files.len(), &file, "pending", 1).to_string().into_bytes()))
    }

    fn file(&self, path: &str) -> Option<Reply> {
        let mut parts = path.strip_prefix("/files/")?.split('/');
        let id: usize = parts.next()?.parse().ok()?;
        let is_content = parts.next() == Some("content");
        let mut files = self.files.lock().expect("no connection panics");
        let file = files.get_mut(id.checked_sub(1)?)?;
        if is_content {
            return Some(self.content(file));
        }
        file.looks += 1;
        let (status, attempt) = match (self.defect, file.looks % 2) {
            (Defect::OutcomeChanges, 0) => ("failed", 1),
            (Defect::AttemptFalls, 1) => ("processing", 2),
            (Defect::StatusGoesBack, 0) | (Defect::AttemptFalls, _) => ("processing", 1),
            (Defect::DeletedComesBack, 1) => ("deleted", 1),
            (Defect::NotFound, _) => return Some((404, b"{\"code\":\"file_not_found\"}".to_vec())),
            (Defect::Unavailable, _) => return Some((503, b"{\"code\":\"database_unavailable\"}".to_vec())),
            _ => ("completed", 1),
        };
        let file = file.clone();
        Some((200, self.record(id, &file, status, attempt).to_string().into_bytes()))
    }

    fn content(&self, file: &File) -> Reply {
        let mut bytes = content(&file.title, file.description.as_deref(), CREATED_AT);
        if self.defect == Defect::ObjectMissing {
            return (410, b"{\"code\":\"object_missing\"}".to_vec());
        }
        if self.defect == Defect::OtherBytes {
            bytes[0] ^= 1;
        }
        (200, bytes)
    }

    fn record(&self, id: usize, file: &File, status: &str, attempt: i32) -> Value {
        let bytes = content(&file.title, file.description.as_deref(), CREATED_AT);
        let digest = if self.defect == Defect::OtherDigest { "0".repeat(64) } else { sha256(&bytes) };
        let title = if self.defect == Defect::OtherTitle && file.looks > 0 { "another" } else { &file.title };
        json!({"id": id, "title": title, "description": file.description, "status": status, "attempt": attempt,
               "created_at": CREATED_AT, "size": bytes.len(), "sha256": digest})
    }
}
