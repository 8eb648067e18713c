//! Automatic refresh of pages, by their script and, without JavaScript, by reloading.

use std::time::Duration;

/// Time between two refreshes. The script waits longer while the server doesn't answer.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);
