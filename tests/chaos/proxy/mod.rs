//! What stands between the roles and their services, and can be told to misbehave.

pub mod tcp;

// Also that of other tests.
pub use crate::support::{Ports, proxy::s3};
