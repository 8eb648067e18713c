//! Typed client of the HTTP interface.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use filesys::domain::{File, FileId, HistoryEntry, Stats, Status};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::certificates::Authority;
use super::{PATIENCE, eventually};

pub struct Api {
    /// Base address without a slash at the end.
    pub base: String,
    client: Client,
}

impl Api {
    pub fn at(url: &str) -> Self {
        let client =
            Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PATIENCE).build();
        Self { base: url.trim_end_matches('/').to_owned(), client: client.unwrap() }
    }

    /// Client of a proxy on this machine, whose certificate is signed by `authority`.
    pub fn through(url: &str, authority: Option<&Authority>) -> Self {
        let parsed = reqwest::Url::parse(url).unwrap();
        let port = parsed.port_or_known_default().unwrap();
        let mut client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .resolve(parsed.host_str().unwrap(), (Ipv4Addr::LOCALHOST, port).into());
        if let Some(authority) = authority {
            let pem = std::fs::read(authority.path()).unwrap();
            client = client.add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
        }
        Self { base: url.trim_end_matches('/').to_owned(), client: client.build().unwrap() }
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn get_with(&self, path: &str, header: &str, value: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).header(header, value)).await
    }

    pub async fn head(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::HEAD, path)).await
    }

    pub async fn post(&self, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, "/files").json(body)).await
    }

    /// Sends a POST without a body.
    pub async fn act(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    /// Waits until `path` lists `count` dead letters, and returns them.
    pub async fn dead_letters(&self, path: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{path} has {count} dead letters"), async || {
            let dead_letters: Vec<Value> = self.get(path).await.ok().json();
            if dead_letters.len() == count { Ok(dead_letters) } else { Err(format!("{dead_letters:?}")) }
        })
        .await
    }

    /// Requests a file without a description.
    pub async fn post_file(&self, title: &str) -> File {
        let answer = self.post(&json!({ "title": title })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    pub async fn post_files(&self, titles: impl IntoIterator<Item = String>) -> Vec<File> {
        let posts = titles.into_iter().map(|title| async move { self.post_file(&title).await });
        futures_util::future::join_all(posts).await
    }

    pub async fn file(&self, id: FileId) -> File {
        self.get(&format!("/files/{id}")).await.ok().json()
    }

    pub async fn content(&self, id: FileId) -> Answer {
        self.get(&format!("/files/{id}/content")).await
    }

    pub async fn timeline(&self, id: FileId) -> Vec<HistoryEntry> {
        self.get(&format!("/files/{id}/timeline")).await.ok().json()
    }

    pub async fn stats(&self) -> Stats {
        self.get("/files/stats").await.ok().json()
    }

    /// Reads one page of the list and the path of the next one.
    pub async fn page(&self, path: &str) -> (Vec<File>, Option<String>) {
        let answer = self.get(path).await.ok();
        let next = answer.header("link").map(|link| {
            let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
            path.expect("a link to the next page").to_owned()
        });
        (answer.json(), next)
    }

    /// Reads the whole list, page by page.
    pub async fn all_files(&self, path: &str) -> Vec<File> {
        let mut files = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let (page, following) = self.page(&path).await;
            files.extend(page);
            next = following;
        }
        files
    }

    pub async fn wait_until(&self, id: FileId, status: Status) -> File {
        let what = format!("file {id} becomes {}", status.name());
        eventually(&what, async || {
            let file = self.file(id).await;
            if file.status == status { Ok(file) } else { Err(format!("{file:?}")) }
        })
        .await
    }

    pub async fn wait_until_completed(&self, id: FileId) -> File {
        self.wait_until(id, Status::Completed).await
    }

    pub async fn wait_until_all_completed(&self) -> Stats {
        eventually("every file becomes completed", async || {
            let stats = self.stats().await;
            if stats.completed == stats.total { Ok(stats) } else { Err(format!("{stats:?}")) }
        })
        .await
    }

    /// File of an answer, which must be completed.
    pub async fn completed_file(&self, title: &str) -> File {
        let file = self.post_file(title).await;
        self.wait_until_completed(file.id).await
    }
}

/// Answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers: readable(&headers), body: answer.bytes().await.unwrap() }
    }

    pub fn new(status: u16, headers: BTreeMap<String, String>, body: Bytes) -> Self {
        Self { status, headers, body }
    }

    /// Checks that the status is 200.
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Problem document of an error (RFC 9457).
    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = self.json();
        for member in ["type", "title", "detail", "code", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem
    }
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
