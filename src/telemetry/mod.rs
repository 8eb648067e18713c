//! What the process tells about itself.

pub mod logs;
pub mod outage;

pub use outage::Outage;
