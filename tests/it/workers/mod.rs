//! Consumers of requests, results and dead letters: progress, unreadable records, forged results, stores that fail.

mod announcements;
mod dead_letters;
mod poison;
mod results;
mod stores;
