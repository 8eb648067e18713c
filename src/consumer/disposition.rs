//! What a consumer does with a record whose handling failed: total over `ErrorKind`.

use crate::domain::ErrorKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A dependency is away: try again until it is back; burns no try.
    Wait,
    /// May be an accident: try again, a bounded number of times.
    Retry,
    /// The record will never do: give up on it and go on.
    GiveUp,
}

pub const fn disposition(kind: ErrorKind) -> Disposition {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout => Disposition::Wait,
        ErrorKind::Internal => Disposition::Retry,
        ErrorKind::Malformed
        | ErrorKind::Invalid
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::MethodNotAllowed
        | ErrorKind::NotAcceptable
        | ErrorKind::Conflict
        | ErrorKind::Gone
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMedia
        | ErrorKind::RangeNotSatisfiable => Disposition::GiveUp,
    }
}
