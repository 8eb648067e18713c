//! The clients: a closed loop of posts, or one file at a time followed to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::Outcome;
use super::client::Connection;
use super::roles::Roles;

/// Times that the clients measured.
pub struct Posted {
    pub begun: Instant,
    /// From the first post to the last answer.
    pub took: Duration,
    pub posts: Vec<Duration>,
    /// From each post to its `completed`, where that was watched.
    pub completions: Vec<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    id: i64,
    status: String,
}

/// Posts files over several connections at once; every post must be accepted.
pub async fn load(address: &str, files: usize, connections: usize, description: &str) -> Outcome<Posted> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for mut connection in open {
        let (next, description) = (Arc::clone(&next), description.to_owned());
        clients.spawn(async move {
            let mut posts = Vec::with_capacity(files / connections + 1);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= files {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(posts);
                }
                posts.push(post(&mut connection, number, &description).await?.1);
            }
        });
    }
    let mut posts = Vec::with_capacity(files);
    while let Some(client) = clients.join_next().await {
        posts.extend(client??);
    }
    Ok(Posted { begun, took: begun.elapsed(), posts, completions: Vec::new() })
}

/// Posts a file once the one before is completed. Its client asks for the status after each commit that it is notified of.
pub async fn one_by_one(roles: &Roles, files: usize, description: &str) -> Outcome<Posted> {
    const LIMIT: Duration = Duration::from_secs(30);
    let mut connection = Connection::open(&roles.address).await?;
    let commits = roles.listen_for_commits().await?;
    let begun = Instant::now();
    let (mut posts, mut completions) = (Vec::with_capacity(files), Vec::with_capacity(files));
    for number in 0..files {
        let asked = Instant::now();
        let (id, took) = post(&mut connection, number, description).await?;
        posts.push(took);
        loop {
            let target = format!("/files/{id}");
            let (status, body) = connection.send("GET", &target, &[], Bytes::new()).await?;
            if status == StatusCode::OK && serde_json::from_slice::<Answer>(&body)?.status == "completed" {
                break;
            }
            if asked.elapsed() > LIMIT {
                return Err(format!("file {id} is not completed after {LIMIT:?}").into());
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), commits.notified.notified()).await;
        }
        completions.push(asked.elapsed());
    }
    Ok(Posted { begun, took: begun.elapsed(), posts, completions })
}

pub async fn post(connection: &mut Connection, number: usize, description: &str) -> Outcome<(i64, Duration)> {
    let body = format!(r#"{{"title":"Load test {number}","description":"{description}"}}"#);
    let asked = Instant::now();
    let headers = [("content-type", "application/json")];
    let (status, answer) = connection.send("POST", "/files", &headers, Bytes::from(body)).await?;
    let took = asked.elapsed();
    if status != StatusCode::CREATED {
        return Err(format!("a post was answered {status}: {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok((serde_json::from_slice::<Answer>(&answer)?.id, took))
}

/// Polls the rows, past the product, until every file is completed. Returns the time at which it saw that.
pub async fn wait_until_completed(roles: &Roles, files: usize, limit: Duration) -> Outcome<Instant> {
    let until = Instant::now() + limit;
    loop {
        if roles.is_finished().await? {
            return Ok(Instant::now());
        }
        if Instant::now() > until {
            return Err(format!("not all of {files} files are completed after {limit:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
