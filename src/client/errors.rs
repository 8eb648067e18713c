//! Errors of the client, by what can be done about them.

use std::error::Error as _;
use std::time::Duration;

use crate::config::client::ServerUrl;

/// Reason why a request has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server can't be reached, has no capacity or was cut off: the same request may succeed later.
    #[error("{reason}")]
    Unavailable {
        reason: String,
        /// Time that the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Another request writes to the upload, or its offset is another one: to be asked for again.
    #[error("{0}")]
    Busy(String),
    /// The server doesn't have it, or not any more.
    #[error("{0}")]
    Gone(String),
    /// The server doesn't accept it.
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    /// Makes the error of a server whose answer didn't come.
    pub(super) fn lost(server: &ServerUrl, error: &reqwest::Error) -> Self {
        let what = if error.is_connect() {
            "can't be reached"
        } else if error.is_timeout() {
            "did not answer in time"
        } else {
            "was cut off"
        };
        // The innermost error says what happened; those around it repeat what was tried.
        let mut innermost = error.source();
        while let Some(inner) = innermost.and_then(std::error::Error::source) {
            innermost = Some(inner);
        }
        let why = innermost.map(|error| format!(": {error}")).unwrap_or_default();
        Self::unavailable(format!("the server at {server} {what}{why}"))
    }

    pub(super) fn unavailable(reason: String) -> Self {
        Self::Unavailable { reason, retry_after: None }
    }
}
