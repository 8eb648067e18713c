//! Fixtures of the tests: services, processes, clients, and the one way to wait.

pub mod app;
pub mod certificates;
pub mod client;
pub mod events;
pub mod json_schema;
pub mod kafka_tools;
pub mod nginx;
mod not_run;
pub mod own;
pub mod pgbouncer;
pub mod port;
pub mod process;
pub mod processes;
pub mod proxy;
pub mod raw;
pub mod records;
pub mod roles;
pub mod secure_kafka;
pub mod services;
pub mod shared_kafka;
pub mod tls_front;

use std::time::{Duration, Instant};

pub use app::{Ground, TestApp};
pub use client::{Answer, Api};
pub use not_run::not_run;
pub use port::Ports;
pub use services::{Bucket, Database};
pub use shared_kafka::SharedKafka;

/// Time limit of waits, with room for a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls `look` until it answers; every test that waits goes through this. `Err` says what was seen instead.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, look).await
}

pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    const PAUSE: Duration = Duration::from_millis(20);
    let until = Instant::now() + limit;
    loop {
        match within(limit, what, look()).await {
            Ok(answer) => return answer,
            Err(seen) => assert!(Instant::now() < until, "{what}: not within {limit:?}; last seen: {seen}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(limit, future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// Returns `Ok` if the condition holds, otherwise what was seen.
pub fn holds(condition: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// Makes a unique name of at most 63 lower-case characters and digits.
pub fn unique(what: &str) -> String {
    format!("{what}{}", uuid::Uuid::new_v4().simple())
}
