//! The one error of the product: a closed kind, a stable code, a sentence that says what to do.

mod code;
mod kind;
mod meaning;

use std::fmt;
use std::time::Duration;

pub use code::{ErrorCode, Scope};
pub use kind::{ErrorKind, Fault};

/// Result whose error is, unless told otherwise, an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Member of a request that breaks a rule. `pointer` is a JSON Pointer (RFC 6901) into the body.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    pub pointer: &'static str,
    pub detail: String,
}

/// `detail` is shown to the caller; `source` is logged once, at the edge, and never shown.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub code: ErrorCode,
    pub detail: String,
    pub fields: Vec<FieldError>,
    /// A dependency asked for so much time before the next try.
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error without a cause.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: code.kind(),
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            source: None,
        }
    }

    /// Makes the error of a request with members that break rules.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} members of the request are not valid", many.len()),
        };
        Self { fields, ..Self::new(ErrorCode::ValidationFailed, detail) }
    }

    /// Makes the error of a mistake of ours.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, detail)
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Copies the error for another caller who waits for the same answer; its causes as text.
    #[must_use]
    pub fn copy(&self) -> Self {
        let causes = self.source.as_ref().map(|_| self.causes().join(": ").into());
        let Self { kind, code, detail, fields, retry_after, .. } = self;
        let (detail, fields) = (detail.clone(), fields.clone());
        Self { kind: *kind, code: *code, detail, fields, retry_after: *retry_after, source: causes }
    }

    fn causes(&self) -> Vec<String> {
        let first = std::error::Error::source(self);
        std::iter::successors(first, |cause| cause.source()).map(ToString::to_string).collect()
    }

    /// `detail` followed by every cause: for the log and for dead letters, not for callers.
    pub fn chain(&self) -> String {
        let mut chain = self.causes();
        chain.insert(0, self.detail.clone());
        chain.join(": ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
