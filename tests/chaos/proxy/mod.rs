//! Proxies between the roles and their services that inject faults.

pub mod tcp;

// Shared with the integration tests.
pub use crate::support::{Ports, proxy::s3};
