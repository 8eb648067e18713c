//! Table `dead_letters`.

mod rows;

use super::Db;

pub use rows::{NewDeadLetter, Resolution};

/// Statements about dead letters.
#[derive(Clone, Copy)]
pub struct DeadLetters<'a> {
    pub(super) db: &'a Db,
}
