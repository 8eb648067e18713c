//! Sources of the verifier: the clients' journal, and the services themselves, past the fault proxies.

use std::path::PathBuf;

/// Everything that a run leaves behind.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// File with one line before and one after each request (`load/journal.rs`).
    pub journal: PathBuf,
    pub database_url: String,
    /// `host:port`
    pub kafka: String,
    pub kafka_prefix: String,
    pub worker_group: String,
    pub serve_group: String,
    /// `http://host:port`
    pub s3: String,
    pub s3_access_key: String,
    pub s3_secret_key: String,
    pub bucket: String,
    /// True if Kafka's log was wiped during the run, so that earlier records are missing.
    pub log_lost: bool,
}
