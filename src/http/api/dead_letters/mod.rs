//! `/dead-letters`: one file for each operation.

mod body;
mod discard;
mod get;
mod list;
mod replay;

pub(in crate::http) use discard::discard;
pub(in crate::http) use get::get;
pub(in crate::http) use list::list;
pub(in crate::http) use replay::replay;
