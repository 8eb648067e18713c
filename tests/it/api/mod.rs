//! The JSON API, as programs see it: the real executable, with a database and a bucket of its own for each test.

mod bad_requests;
mod caching;
mod connections;
mod dead_letters;
mod files;
mod health;
mod hostile_clients;
mod preconditions;
mod response_headers;
mod uploads;
