//! Number of files in each status, and the age of the oldest unfinished one.

use serde::{Deserialize, Serialize};

/// Number of files in each status.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stats {
    pub pending: i64,
    pub uploading: i64,
    pub processing: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub deleted: i64,
    pub total: i64,
    /// Seconds since the oldest unfinished file was asked for; `None` when nothing is waiting.
    pub oldest_unfinished_seconds: Option<f64>,
}
