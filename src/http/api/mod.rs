//! The JSON API, at the source system's paths.

pub(super) mod dead_letters;
pub(super) mod download;
mod download_name;
pub(super) mod files;
pub(super) mod health;
