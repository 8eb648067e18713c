//! The one error of the product: a closed kind, a stable code, a sentence that says what to do.

use std::fmt;
use std::time::Duration;

/// Result whose error is, unless told otherwise, an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, seen from the caller. Two total projections hang on it: the HTTP status
/// (`http::error`) and, by whose fault it is, what a consumer does with the record (`consumer::disposition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can't be read: not JSON, wrong types, a malformed id or cursor.
    Malformed,
    /// The request can be read and breaks a rule; `fields` says which.
    Invalid,
    /// The caller may not do this from here (cross-site form post).
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    /// Right request, wrong moment: the file's status doesn't allow it.
    Conflict,
    /// The caller's own condition on the request does not hold.
    PreconditionFailed,
    /// It was there and will not come back.
    Gone,
    /// The request names a host that this server does not answer to.
    Misdirected,
    TooLarge,
    UnsupportedMedia,
    RangeNotSatisfiable,
    /// The caller took too long.
    Timeout,
    /// A dependency is down or slow: the same request may succeed later.
    Unavailable,
    /// Our own fault, or a state that must not be.
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Invalid,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::Gone,
        Self::Misdirected,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::RangeNotSatisfiable,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Tells whose fault an error of this kind is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Unavailable => Fault::Dependency,
            Self::Internal => Fault::Product,
            Self::Malformed
            | Self::Invalid
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::Conflict
            | Self::PreconditionFailed
            | Self::Gone
            | Self::Misdirected
            | Self::TooLarge
            | Self::UnsupportedMedia
            | Self::RangeNotSatisfiable
            | Self::Timeout => Fault::Caller,
        }
    }
}

/// Who has to act so that the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The one who asked: it will never do as it is.
    Caller,
    /// Nobody here: a dependency is away and will be back.
    Dependency,
    /// We ourselves; it may also have been an accident.
    Product,
}

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
    pub code: &'static str,
    pub detail: String,
    pub fields: Vec<FieldError>,
    /// A dependency asked for so much time before the next try.
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error without a cause.
    pub fn new(kind: ErrorKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into(), fields: Vec::new(), retry_after: None, source: None }
    }

    /// Makes the error of a request with members that break rules.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} members of the request are not valid", many.len()),
        };
        Self { fields, ..Self::new(ErrorKind::Invalid, "validation_failed", detail) }
    }

    /// Makes the error of a mistake of ours.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, "internal", detail)
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
        Self { kind: *kind, code, detail, fields, retry_after: *retry_after, source: causes }
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
