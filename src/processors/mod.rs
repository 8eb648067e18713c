//! Processing of uploaded files: pure functions from bytes to what is found in them.

pub mod media_type;
