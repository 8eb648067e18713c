//! Proxies between roles and services that inject faults.

pub mod s3;

use super::Ports;
