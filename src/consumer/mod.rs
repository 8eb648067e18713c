//! The door for Kafka records: topic → handler. It only translates, then calls a verb.

pub mod disposition;
pub mod health;
pub mod letters;
pub mod requests;
pub mod results;
pub mod runner;
mod turn;
mod watermark;

pub use runner::{Handler, Settings};
pub use turn::Turn;
