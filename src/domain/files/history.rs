//! History of a file: one entry for each transition.

use serde::{Deserialize, Serialize};

use crate::domain::files::Status;
use crate::domain::{Attempt, Timestamp};

/// Entry of a file's history, as `GET /files/{id}/timeline` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    /// `None` in the first entry.
    pub from: Option<Status>,
    pub to: Status,
    pub attempt: Attempt,
    /// Name of the worker that reported the outcome.
    pub worker: Option<String>,
    /// Partition of `file.create` that the request was read from.
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub duration_ms: Option<i64>,
    pub error: Option<String>,
}
