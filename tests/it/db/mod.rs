//! The database: its schema, sessions and poolers, the outbox under every order of commits, commits that fail, searches,
//! scale, outages and failover.

mod commits;
mod failover;
mod outages;
mod outbox;
mod scale;
mod schema;
mod searches;
mod sessions;
