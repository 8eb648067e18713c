//! The database: its schema as migrated, described and seen by the code, and the outbox under every order of commits.

mod outbox;
mod schema;
