//! Observability of the process: logs, outages, panics.

mod escape;
pub mod logs;
pub mod outage;
pub mod panics;

pub use outage::Outage;
