//! Points in time as the contract writes them: RFC 3339, UTC, three decimals, `Z`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// UTC with millisecond precision, so what is stored, shown and put into an object key is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Reads this machine's clock.
    pub fn now() -> Self {
        Self::from(Utc::now())
    }

    /// Returns the milliseconds since 1970 in UTC.
    pub fn epoch_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Returns the time as chrono's type.
    pub fn as_datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// The time `duration` earlier; the earliest representable one when that would overflow.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let earlier = chrono::Duration::from_std(duration).ok().and_then(|d| self.0.checked_sub_signed(d));
        earlier.map_or(Self(DateTime::<Utc>::MIN_UTC), Self::from)
    }

    /// The time `duration` later; the latest representable one when that would overflow.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let later = chrono::Duration::from_std(duration).ok().and_then(|d| self.0.checked_add_signed(d));
        later.map_or(Self(DateTime::<Utc>::MAX_UTC), Self::from)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.trunc_subsecs(3))
    }
}

impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, chrono::ParseError> {
        text.parse::<DateTime<Utc>>().map(Self::from)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_three_decimals_and_z() {
        let at: Timestamp = serde_json::from_str("\"2026-01-03T01:00:00.0009+01:00\"").unwrap();
        assert_eq!(at.to_string(), "2026-01-03T00:00:00.000Z");
        assert_eq!(at.epoch_millis(), 1_767_398_400_000);
    }
}
