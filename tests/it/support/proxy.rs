//! What stands between roles and their services, and can be told to misbehave.

pub mod s3;

use super::Ports;
