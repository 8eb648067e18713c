//! Headers of every record that is published.

/// Header with the UUID of the message; the same on every copy of it.
pub const EVENT_ID: &str = "event-id";
/// Header with the version of the value's schema.
pub const SCHEMA_VERSION: &str = "schema-version";
/// Version that is written today, on all topics but `file.events`.
pub const SCHEMA_VERSION_1: &str = "1";
/// Version of the values of `file.events`; version 1 was no CloudEvent.
pub const EVENTS_SCHEMA_VERSION: &str = "2";
/// Header with the media type of the value; on `file.events` only, where the Kafka binding of CloudEvents requires it.
pub const CONTENT_TYPE: &str = "content-type";
/// Media type of a CloudEvent in structured JSON.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
