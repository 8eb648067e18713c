//! The integration tests: one binary, one module for each thing that must hold.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod architecture;
mod docs;
