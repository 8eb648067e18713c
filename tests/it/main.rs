//! The integration tests: one binary, one module for each thing that must hold.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod api;
mod architecture;
mod commands;
mod db;
mod docs;
mod flows;
mod outer;
mod real;
mod support;
mod ui;
mod worker;
