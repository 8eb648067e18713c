//! What a consumer does with a record whose handling failed: total over `ErrorKind`.

use crate::domain::{ErrorKind, Fault};

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
    match kind.fault() {
        Fault::Dependency => Disposition::Wait,
        Fault::Product => Disposition::Retry,
        Fault::Caller => Disposition::GiveUp,
    }
}
