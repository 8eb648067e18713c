//! Dead letters: records that could not be processed, as people look at them.

pub mod dead_letter;
pub mod list;

pub use dead_letter::{DeadLetter, DeadLetterHeader, DeadLetterState, Origin};
pub use list::{DeadLetterCursor, DeadLetterPage, DeadLetterPageRequest};
