//! Use cases: one folder for each noun, one file for each operation. They use the adapters; the entry points (`http`,
//! `consumer`, `commands`) and the background `jobs` call them.

pub(crate) mod batch;
pub mod context;
pub mod create_queue;
pub mod dead_letters;
pub mod doctor;
pub mod files;
pub mod fsck;
pub mod guard;
pub mod health;
pub mod provision;
pub(crate) mod publish;
mod query_cache;
pub mod topic_settings;
pub mod uploads;

pub use context::{DeadLettersContext, ServeContext, WorkerContext};
pub use guard::Guard;
