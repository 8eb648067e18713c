//! Typed ids: a file, one attempt at making it, one dead letter, one published event.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file's id: positive, given by PostgreSQL, a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minimum" = 1))]
pub struct FileId(pub i64);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Error of a text that is no [`FileId`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file id is a whole number from 1 to 9223372036854775807")]
pub struct InvalidFileId;

impl FromStr for FileId {
    type Err = InvalidFileId;

    /// Digits only: `+1`, ` 1` and `01` would be second names of the same file.
    fn from_str(text: &str) -> Result<Self, InvalidFileId> {
        canonical(text).map(Self).ok_or(InvalidFileId)
    }
}

/// A positive number in its one spelling.
fn canonical(text: &str) -> Option<i64> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// A dead letter's number in the list of them: positive, given by PostgreSQL, a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub i64);

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Error of a text that is no [`DeadLetterId`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a dead letter is a whole number from 1 to 9223372036854775807")]
pub struct InvalidDeadLetterId;

impl FromStr for DeadLetterId {
    type Err = InvalidDeadLetterId;

    /// Parses what is written like a [`FileId`].
    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        canonical(text).map(Self).ok_or(InvalidDeadLetterId)
    }
}

/// The fencing number of one request to make a file. Only the owner of the row raises it; a worker's
/// own repeats within one request are tries, not attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minimum" = 1))]
pub struct Attempt(pub i32);

impl Attempt {
    /// Number of the first attempt.
    pub const FIRST: Self = Self(1);

    /// Returns the number of the next attempt.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies one message; the same after a repeated publish. UUID version 7.
pub type EventId = uuid::Uuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_id_has_exactly_one_spelling() {
        assert_eq!("42".parse(), Ok(FileId(42)));
        assert_eq!("9223372036854775807".parse(), Ok(FileId(i64::MAX)));
        for text in ["", "0", "-1", "+1", " 1", "01", "1.0", "abc", "9223372036854775808", "１"] {
            assert_eq!(text.parse::<FileId>(), Err(InvalidFileId), "{text:?}");
        }
    }
}
