//! `/files`: one file for each operation.

pub(super) mod body;
mod cancel;
mod create;
mod delete;
mod download;
mod get;
mod list;
mod retry;
mod stats;
mod timeline;
mod update;

pub(in crate::http) use cancel::cancel;
pub(in crate::http) use create::create;
pub(in crate::http) use delete::delete;
pub(in crate::http) use download::download;
pub(in crate::http) use get::get;
pub(in crate::http) use list::list;
pub(in crate::http) use retry::retry;
pub(in crate::http) use stats::stats;
pub(in crate::http) use timeline::timeline;
pub(in crate::http) use update::update;
