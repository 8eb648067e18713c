//! Headers of every record that is published.

/// Header with the UUID of the message; the same on every copy of it.
pub const EVENT_ID: &str = "event-id";
/// Header with the version of the value's schema.
pub const SCHEMA_VERSION: &str = "schema-version";
/// Version that is written today.
pub const SCHEMA_VERSION_1: &str = "1";
