//! Tables `files`, `transitions` (the history) and `status_counts`, one file for each kind of statement.

pub(super) mod erase;
mod get;
mod history;
mod insert;
mod list;
mod object_references;
mod retention;
mod stats;
pub(super) mod transition;
mod unfinished;
mod update;

use super::Db;

pub use insert::{NewFileRow, ReservedIds};
pub use object_references::ObjectReference;
pub use retention::RemovedHistory;
pub use transition::{Change, Transitions};
pub use update::Update;

/// Statements about files.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    pub(super) db: &'a Db,
}
