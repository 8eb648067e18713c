//! The verbs: one file for each thing the product does. They use the tools; the doors (`http`, `consumer`) call them.

pub mod announce;
pub mod apply_retention;
pub mod cancel_file;
pub mod check_health;
pub mod check_topics;
mod compare_result;
pub mod context;
pub mod dead_letters;
pub mod delete_file;
pub mod doctor;
pub mod download_file;
pub mod find_files;
pub mod generate_file;
pub mod guard;
pub mod handle_dead_letters;
pub mod keep_dead_letters;
mod moves;
#[cfg(feature = "chaos")]
mod planted;
pub mod prepare;
mod recent;
pub mod record_result;
pub mod relay_outbox;
pub mod remove_objects;
pub mod repair_store;
pub mod request_file;
pub mod rescue_files;
pub mod rescue_lost;
pub mod retry_file;
pub mod tidy;
pub mod verify_store;

pub use context::{LettersContext, ServeContext, WorkerContext};
pub use guard::Guard;
