//! Disposition of a record whose handling failed: a total function of `ErrorKind`.

use crate::domain::{ErrorKind, Fault};

/// Disposition of a record whose handling failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A dependency is unavailable: retry until it has recovered. Does not count as a try.
    Wait,
    /// The failure may be transient: retry a bounded number of times.
    Retry,
    /// The record can never be handled: dead-letter it.
    DeadLetter,
}

/// Decides what to do with a record that failed with this kind of error.
pub const fn disposition(kind: ErrorKind) -> Disposition {
    match kind.fault() {
        Fault::Dependency => Disposition::Wait,
        Fault::Product => Disposition::Retry,
        Fault::Caller => Disposition::DeadLetter,
    }
}
