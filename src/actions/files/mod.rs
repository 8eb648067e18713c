//! Use cases about files: one file for each operation.

mod cancel;
pub(super) mod compare_result;
mod create;
mod delete;
mod download;
mod expire;
pub(super) mod generate;
mod get;
mod list;
mod record_result;
mod recover;
mod retry;
pub(crate) mod transition;
mod update;

pub use cancel::{cancel, cancel_if};
pub use create::create;
pub use delete::{delete, delete_if};
pub use download::{content_url, find_content, open_content};
pub use expire::expire;
pub(crate) use expire::fail_unpublishable;
pub use generate::{Generated, RequestOrigin, fail, generate, publish_result};
pub use get::{get, history, stats};
pub use list::{list, list_cached};
pub use record_result::record_results;
pub use recover::republish_unfinished;
pub use retry::{retry, retry_if};
pub use update::update_if;
