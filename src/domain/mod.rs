//! The domain: files, dead letters, messages, errors, and their rules. No I/O and no other module of this crate; policies
//! take the time as an argument.

pub mod byte_range;
pub mod dead_letters;
pub mod error;
pub mod files;
pub mod finding;
pub mod idempotency;
pub mod ids;
pub mod json_object;
pub mod messages;
pub mod pacing;
pub mod pagination;
pub mod shell;
pub mod strict_json;
pub mod text;
pub mod time;
pub mod topic_settings;
pub mod uploads;

pub use byte_range::ByteRange;
pub use dead_letters::{
    DeadLetter, DeadLetterCursor, DeadLetterHeader, DeadLetterPage, DeadLetterPageRequest, DeadLetterState,
    Origin,
};
pub use error::{Error, ErrorCode, ErrorKind, Fault, FieldError, Result};
pub use files::{
    Attributes, Cursor, File, FileName, FileOrigin, FileType, Format, HistoryEntry, MediaType, NewFile, Page,
    PageRequest, Revision, Stats, Status,
};
pub use finding::{Finding, Severity};
pub use idempotency::IdempotencyKey;
pub use ids::{Attempt, DeadLetterId, EventId, FileId};
pub use json_object::JsonObject;
pub use messages::{EventType, FileEvent};
pub use pacing::Pacing;
pub use time::Timestamp;
