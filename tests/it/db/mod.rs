//! The database: its schema as migrated, described and seen by the code, sessions and poolers, the outbox under every order of commits, commits that fail, searches, and scale.

mod commits;
mod outbox;
mod scale;
mod schema;
mod searches;
mod sessions;
