//! Names of the topics, before the prefix of an installation is added.

/// Topic of requests.
pub const CREATE: &str = "file.create";
/// Topic of results.
pub const CREATED: &str = "file.created";
/// Topic of events.
pub const EVENTS: &str = "file.events";
/// Topic of dead letters.
pub const DEAD_LETTERS: &str = "file.create.dlq";

/// All topics.
pub const ALL: [&str; 4] = [CREATE, CREATED, EVENTS, DEAD_LETTERS];
