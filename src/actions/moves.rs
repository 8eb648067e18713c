//! What goes with every applied move: the row, its line of history, the request if it is asked for again, the fact.

use serde::Serialize;
use uuid::Uuid;

use crate::db::moves::Change;
use crate::db::outbox::Message;
use crate::domain::message::{CreateFile, topic};
use crate::domain::status::{Move, State};
use crate::domain::{EventId, Fact, FactType, File, Timestamp, Transition};

/// What a move brings besides the status.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub s3_location: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<String>,
    pub error: Option<String>,
    pub worker: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub duration_ms: Option<i64>,
    /// A new one; `None` keeps the old one.
    pub deadline_at: Option<Timestamp>,
}

/// Moves `file` to where the verdict says and tells what to commit for it.
pub(super) fn apply(file: &mut File, by: Move, to: State, now: Timestamp, details: Details) -> Change {
    let from = file.status;
    file.status = to.status;
    file.attempt = to.attempt;
    file.s3_location = details.s3_location;
    file.size = details.size;
    file.sha256 = details.sha256;
    file.error.clone_from(&details.error);
    file.updated_at = now;
    file.sequence += 1;
    log::info!(
        file_id = file.id.0, attempt = file.attempt.0, status = file.status.name(), by = by.name();
        "file updated"
    );
    let mut messages = vec![fact(file, FactType::of(by))];
    if by.raises_attempt() {
        messages.push(request(file));
    }
    Change {
        deadline_at: details.deadline_at,
        transition: Transition {
            at: now,
            from: Some(from),
            to: file.status,
            attempt: file.attempt,
            worker: details.worker,
            partition: details.partition,
            offset: details.offset,
            duration_ms: details.duration_ms,
            error: details.error,
        },
        messages,
        file: file.clone(),
    }
}

/// Asks for the file's current attempt.
pub(super) fn request(file: &File) -> Message {
    let request = CreateFile {
        file_id: file.id,
        title: file.title.clone(),
        description: file.description.clone(),
        timestamp: file.created_at,
        attempt: file.attempt,
        format: file.format,
    };
    message(file, Uuid::now_v7(), topic::CREATE, &request)
}

pub(super) fn fact(file: &File, what: FactType) -> Message {
    let id = Uuid::now_v7();
    let message = message(file, id, topic::EVENTS, &Fact::new(id, what, file));
    Message { key: Some(file.id.to_string().into_bytes()), ..message }
}

fn message(file: &File, event_id: EventId, topic: &'static str, value: &impl Serialize) -> Message {
    // Strings, numbers and times: this can't fail.
    let value = serde_json::to_vec(value).unwrap_or_default();
    Message { event_id, topic, key: None, value, file_id: file.id }
}
