//! Kinds of errors, and whose fault each is.

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
    /// Another request is changing it.
    Locked,
    /// The caller's own condition on the request does not hold.
    PreconditionFailed,
    /// It was there and will not come back.
    Gone,
    /// The request names a host that this server does not answer to.
    Misdirected,
    TooLarge,
    UnsupportedMedia,
    RangeNotSatisfiable,
    /// A chunk of an upload was altered on its way.
    ChecksumMismatch,
    /// The caller took too long.
    Timeout,
    /// A dependency is down or slow: the same request may succeed later.
    Unavailable,
    /// The store has no space left.
    StorageFull,
    /// Our own fault, or a state that must not be.
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::Invalid,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::Conflict,
        Self::Locked,
        Self::PreconditionFailed,
        Self::Gone,
        Self::Misdirected,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::RangeNotSatisfiable,
        Self::ChecksumMismatch,
        Self::Timeout,
        Self::Unavailable,
        Self::StorageFull,
        Self::Internal,
    ];

    /// Tells whose fault an error of this kind is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::Unavailable | Self::StorageFull => Fault::Dependency,
            Self::Internal => Fault::Product,
            Self::Malformed
            | Self::Invalid
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::Conflict
            | Self::Locked
            | Self::PreconditionFailed
            | Self::Gone
            | Self::Misdirected
            | Self::TooLarge
            | Self::UnsupportedMedia
            | Self::RangeNotSatisfiable
            | Self::ChecksumMismatch
            | Self::Timeout => Fault::Caller,
        }
    }
}

/// Party that has to act so that the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client: the same request will never succeed.
    Caller,
    /// Neither: a dependency is unavailable, and will recover.
    Dependency,
    /// filesys itself.
    Product,
}
