//! The database: its schema as migrated, described and seen by the code, sessions and poolers, the outbox under every order of commits, and scale.

mod outbox;
mod scale;
mod schema;
mod sessions;
