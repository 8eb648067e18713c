//! Members that every message has, and why a record's value can't be used.

use super::topics;
use crate::domain::strict_json::{Members, WrongType, without_bom};
use crate::domain::{Attempt, FileId};

/// Reason why a record's value can't be used. Such a record is dead-lettered.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the record has no value")]
    Empty,
    #[error("the value is not a {what} message: {why}")]
    Unreadable { what: &'static str, why: String },
    #[error("{0}")]
    Rule(String),
}

/// Reads which file and attempt a record names, even when the rest of it is unusable.
pub fn named_file(value: Option<&[u8]>) -> Option<(FileId, Option<Attempt>)> {
    let value = String::from_utf8_lossy(value?);
    let members = Members::read(value.as_bytes(), &["fileId", "attempt"]).ok()?;
    let file_id = file_id(&members, topics::CREATE).ok()?;
    Some((file_id, attempt(&members, topics::CREATE).ok().flatten()))
}

pub(super) fn not_empty(value: Option<&[u8]>) -> Result<&[u8], MessageError> {
    value.map(without_bom).filter(|bytes| !bytes.is_empty()).ok_or(MessageError::Empty)
}

pub(super) fn file_id(members: &Members<'_>, what: &'static str) -> Result<FileId, MessageError> {
    let id = members.whole("fileId").map_err(|error| error.to_string());
    let id = id.and_then(|id| id.ok_or_else(|| "fileId is missing".to_owned()));
    match id.map_err(|why| MessageError::Unreadable { what, why })? {
        id @ 1.. => Ok(FileId(id)),
        id => Err(MessageError::Rule(format!("fileId {id} is not positive"))),
    }
}

/// Reads the attempt. The first is 1; 0 counts as absent, because clients in languages without optional numbers write it. An
/// attempt that can't be read is an error: without it an outdated message would pass for a current one.
pub(super) fn attempt(members: &Members<'_>, what: &'static str) -> Result<Option<Attempt>, MessageError> {
    let why = |why: WrongType| MessageError::Unreadable { what, why: why.to_string() };
    match members.whole("attempt").map_err(why)? {
        None | Some(0) => Ok(None),
        Some(number @ 1..) => {
            let number = i32::try_from(number);
            number.map(|number| Some(Attempt(number))).map_err(|_| {
                MessageError::Rule("attempt is more than the 2147483647 there can be".to_owned())
            })
        }
        Some(number) => Err(MessageError::Rule(format!("attempt {number} is not positive"))),
    }
}
