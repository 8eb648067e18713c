//! Time for which rows are kept that are no longer needed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Env;
use super::env::parse_duration;

/// Retention times; `None` keeps rows for ever.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// Age of dead letters that were replayed or discarded, counted from then.
    pub dead_letters: Option<Duration>,
    /// Age of the history of finished files, counted from their last change.
    pub history: Option<Duration>,
    /// Age of rows of deleted files, counted from the deletion.
    pub deleted: Option<Duration>,
}

impl RetentionConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        let mut read = |name, days| env.parse(&[name], RetentionTime::days(days), SYNTAX).0;
        Self {
            dead_letters: read("DEAD_LETTER_RETENTION", 90),
            history: read("HISTORY_RETENTION", 365),
            deleted: read("DELETED_RETENTION", 365),
        }
    }

    /// Returns all retention times.
    pub fn all(&self) -> [Option<Duration>; 3] {
        [self.dead_letters, self.history, self.deleted]
    }
}

pub(super) const SYNTAX: &str = "a time span like 90d, bare in s, or `forever`";
const FOREVER: &str = "forever";
const DAY: Duration = Duration::from_hours(24);

/// Retention time.
pub(super) struct RetentionTime(pub Option<Duration>);

impl RetentionTime {
    pub const fn days(days: u32) -> Self {
        Self(Some(DAY.saturating_mul(days)))
    }
}

impl FromStr for RetentionTime {
    type Err = ();

    /// Parses a retention time of at least a second, so that nothing is removed at once.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.eq_ignore_ascii_case(FOREVER) {
            return Ok(Self(None));
        }
        let span =
            parse_duration(text, Duration::from_secs(1)).filter(|span| *span >= Duration::from_secs(1));
        span.map(|span| Self(Some(span))).ok_or(())
    }
}

impl fmt::Display for RetentionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(FOREVER),
            Some(span) => write!(f, "{}d", span.as_secs() / DAY.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_span_or_is_kept_for_ever() {
        let read = |value| {
            let mut env = Env::of([("HISTORY_RETENTION", value)]);
            let history = RetentionConfig::read(&mut env).history;
            env.finish().map(|()| history)
        };
        assert_eq!(read("forever"), Ok(None));
        assert_eq!(read("30d"), Ok(Some(DAY * 30)));
        assert_eq!(read("90"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(read(""), Ok(Some(DAY * 365)));
        for wrong in ["0", "0d", "500ms", "-1", "never", "1y"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
