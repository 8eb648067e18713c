//! Idempotency keys: names that clients give requests, so that repeating one does nothing twice.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The value of an `Idempotency-Key` header, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Time for which a key stands for its first request.
pub const IDEMPOTENCY_KEY_TTL: Duration = Duration::from_hours(24);

/// Error of a text that is no idempotency key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key has 1 to 255 printable ASCII characters")]
pub struct InvalidIdempotencyKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
        if printable && (1..=255).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

impl AsRef<str> for IdempotencyKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
