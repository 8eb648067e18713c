//! filesys makes files asynchronously: ask over HTTP, a worker makes the file, S3 keeps it, Kafka announces it,
//! PostgreSQL always knows where it stands.
//!
//! Modules stand in dependency order; each may use those above it and nothing below (`tests/it/architecture.rs`): the
//! `domain`; `config`, `telemetry` and `faults`; the adapters `db`, `broker` and `storage`, which never use each other, with
//! `generators` and `processors`; `actions`, the use cases; `jobs`, the background loops; the entry points `http` and `consumer`, and the
//! `embedded` services; `commands`, which wires a role for each subcommand.

pub mod domain;

pub mod config;
pub mod faults;
pub mod telemetry;

pub mod broker;
pub mod client;
pub mod db;
pub mod generators;
pub mod processors;
pub mod storage;

pub mod actions;

pub mod jobs;

pub mod consumer;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod http;

pub mod commands;

// What the library's tests share with those in tests/it.
#[cfg(test)]
#[path = "../tests/it/support/not_run.rs"]
mod not_run;
#[cfg(test)]
#[path = "../tests/it/support/port.rs"]
mod port;
