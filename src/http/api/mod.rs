//! The JSON API: one folder for each noun, one file for each operation, the JSON in `body`.

pub(super) mod dead_letters;
pub(super) mod files;
pub(super) mod health;
pub(super) mod schemas;
pub(super) mod uploads;
