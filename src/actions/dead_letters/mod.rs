//! Use cases about dead letters: one file for each operation.

mod discard;
mod list;
mod publish;
mod replay;
mod store;

pub use discard::{discard, discard_if};
pub use list::{count_open, get, has_open, list, list_open};
pub use publish::publish;
pub use replay::{Replayed, replay, replay_if};
pub use store::{StoreRequest, store};
