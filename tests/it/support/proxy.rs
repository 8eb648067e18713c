//! Proxies between roles, services and clients that inject faults.

pub mod gate;
pub mod s3;

use super::Ports;
