//! The JSON interface, as programs see it: the real executable, its own database and bucket for each test.

mod bad_requests;
mod caching;
mod connections;
mod content;
mod create;
mod dead_letters;
mod erasure;
mod hostile_clients;
mod idempotency;
mod lists;
mod moves;
mod operations;
mod preconditions;
mod texts;
