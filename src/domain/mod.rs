//! The nouns: files, statuses, messages, errors. No I/O, no other module of this crate; policies take the time as an argument.

pub mod dead_letter;
pub mod error;
pub mod fact;
pub mod file;
pub mod finding;
pub mod format;
pub mod idempotency;
pub mod ids;
pub mod json_members;
pub mod message;
pub mod object;
pub mod pace;
pub mod page;
pub mod range;
pub mod shell;
pub mod stats;
pub mod status;
pub mod text;
pub mod time;
pub mod topic_settings;

pub use dead_letter::{
    DeadLetter, LetterCursor, LetterHeader, LetterPage, LetterPageRequest, LetterState, Origin,
};
pub use error::{Error, ErrorKind, Fault, FieldError, Result};
pub use fact::{Fact, FactType};
pub use file::{File, Mark, NewFile, Transition};
pub use finding::{Finding, Severity};
pub use format::Format;
pub use idempotency::IdempotencyKey;
pub use ids::{Attempt, EventId, FileId, LetterId};
pub use object::Object;
pub use pace::Pace;
pub use page::{Cursor, Page, PageRequest};
pub use range::ByteRange;
pub use stats::Stats;
pub use status::Status;
pub use time::Timestamp;
