//! The integration tests: one binary, one module for each thing that must hold.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod api;
mod architecture;
mod cli;
mod db;
mod docs;
mod jobs;
mod kafka;
mod messages;
mod outer;
mod planted;
mod roles;
mod storage;
mod support;
mod tls;
mod ui;
mod workers;
