//! What the store's answers mean to the product.

use std::time::Duration;

use s3::error::S3Error;

use crate::domain::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the object store is unavailable: {0}")]
    Unavailable(String),
    /// It wants to be left alone for this long.
    #[error("the object store is busy and asks for {1:?}: {0}")]
    Busy(String, Duration),
    #[error("the object store did not answer in time")]
    TimedOut,
    #[error("the object store has no such bucket: {0}")]
    NoBucket(String),
    #[error("no such object: {0}")]
    NotFound(String),
    #[error("the object store refused us: {0}")]
    Denied(String),
    /// What is stored is not what was sent.
    #[error("the object store holds other bytes than were sent: {0}")]
    Corrupt(String),
    #[error("the object store: {0}")]
    Other(String),
}

impl StorageError {
    /// By HTTP status; `text` is the answer's body, cut to what a log line can hold.
    pub(super) fn of_status(status: u16, text: &str) -> Self {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        match status {
            404 if text.contains("NoSuchBucket") => Self::NoBucket(text),
            404 => Self::NotFound(text),
            401 | 403 => Self::Denied(format!("{status} {text}")),
            // 409 OperationAborted and 429 pass, as 5xx do.
            408 | 409 | 429 | 500..=599 => Self::Unavailable(format!("{status} {text}")),
            _ => Self::Other(format!("{status} {text}")),
        }
    }
}

impl From<reqwest::Error> for StorageError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        // The URL is signed: whoever reads it can use it for a while.
        let mut text = causes(&error.without_url());
        if text.contains("invalid peer certificate") {
            text.push_str(" (S3_CA names who is believed)");
        }
        Self::Unavailable(text)
    }
}

/// rust-s3 only signs: nothing that it says is about the store.
impl From<S3Error> for StorageError {
    fn from(error: S3Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// reqwest's own text leaves out why.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let mut outside = match &error {
            StorageError::NotFound(_) => {
                Self::new(ErrorKind::Gone, "object_missing", "the file's content is no longer in the store")
            }
            // Wrong credentials are mended outside, a bucket is made anew; until then it is an outage.
            StorageError::Unavailable(_)
            | StorageError::Busy(..)
            | StorageError::TimedOut
            | StorageError::Denied(_)
            | StorageError::NoBucket(_) => Self::new(
                ErrorKind::Unavailable,
                "storage_unavailable",
                "the object store is not available; try again shortly",
            ),
            StorageError::Corrupt(_) => {
                Self::internal("the object store did not keep the bytes it was given")
            }
            StorageError::Other(_) => Self::internal("the object store gave an answer that makes no sense"),
        };
        if let StorageError::Busy(_, wait) = &error {
            outside.retry_after = Some(*wait);
        }
        outside.because(error)
    }
}
