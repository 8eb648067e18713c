//! What the process tells about itself.

mod escape;
pub mod logs;
pub mod outage;
pub mod panics;

pub use outage::Outage;
