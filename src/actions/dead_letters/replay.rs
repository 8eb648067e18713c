//! Replay a dead letter: ask again for what its record asked for. Needs PostgreSQL alone; the record goes through the outbox.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use crate::actions::files::transition::{self, ChangeContext, Details};
use crate::actions::{DeadLettersContext, Guard};
use crate::db::dead_letters::Resolution;
use crate::db::outbox::OutboxMessage;
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::messages::topics;
use crate::domain::{
    Attempt, DeadLetter, DeadLetterId, DeadLetterState, Error, ErrorCode, File, FileId, Result, Status,
};

/// Outcome of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Replayed {
    /// The file is asked for again, with the next attempt number: the same record would be too late.
    AskedAgain { file_id: FileId, attempt: Attempt },
    /// The same value goes to its topic once more.
    Published { topic: &'static str },
    /// The file has got further without it, so nothing was published.
    Superseded { file_id: FileId, status: Status },
    /// It was replayed before, so nothing was done.
    Before,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedAgain { file_id, attempt } => {
                write!(f, "file {file_id} is asked for again, as attempt {attempt}")
            }
            Self::Published { topic } => write!(f, "its record goes to {topic} again"),
            Self::Superseded { file_id, status } => {
                write!(f, "nothing was left to do: file {file_id} is {}", status.name())
            }
            Self::Before => f.write_str("it was replayed before, so nothing was done"),
        }
    }
}

/// Asks again for what the record asked for, once, however often this is called. A discarded dead letter may be replayed
/// all the same; `Conflict` when it can't be.
pub async fn replay(ctx: &DeadLettersContext, id: DeadLetterId) -> Result<Replayed> {
    replay_if(ctx, id, Guard::none()).await
}

/// Does what [`replay`] does, if the guard allows it.
pub async fn replay_if(
    ctx: &DeadLettersContext,
    id: DeadLetterId,
    guard: Guard<DeadLetter>,
) -> Result<Replayed> {
    let (deadline, events) = (ctx.file_deadline, ctx.events.clone());
    let resolved = ctx.db.dead_letters().resolve(id, move |dead_letter, file, now| {
        if dead_letter.state == DeadLetterState::Replayed {
            return (None, guard.check(&dead_letter).map(|()| Replayed::Before));
        }
        let seen = guard.check(&dead_letter);
        let is_request = dead_letter.origin.as_ref().is_some_and(|origin| origin.topic == topics::CREATE);
        let planned = match file.filter(|_| is_request) {
            Some(file) => {
                let context = ChangeContext { now, events: &events };
                request_file_again(&dead_letter, file, deadline, &context)
            }
            None => republish_record(dead_letter),
        };
        match planned {
            Ok((resolution, replayed)) => match seen {
                Ok(()) => (Some(resolution), Ok(replayed)),
                Err(error) => (None, Err(error)),
            },
            Err(error) => (None, Err(error)),
        }
    });
    let replayed = resolved.await?.ok_or_else(|| super::list::not_found(id))??;
    log::info!(letter_id = id.0, outcome:% = replayed; "dead letter replayed");
    Ok(replayed)
}

type Plan = Result<(Resolution, Replayed)>;

/// A request for a file that is there.
fn request_file_again(
    dead_letter: &DeadLetter,
    mut file: File,
    deadline: Duration,
    context: &ChangeContext<'_>,
) -> Plan {
    let done = resolution(DeadLetterState::Replayed);
    if let Decision::Apply(to) = evaluate(file.state(), Transition::Retry, None) {
        let details = Details { deadline: Some(deadline), ..Details::default() };
        let change = Some(transition::apply(context, &mut file, Transition::Retry, to, details)?);
        let replayed = Replayed::AskedAgain { file_id: file.id, attempt: file.attempt };
        return Ok((Resolution { change, ..done }, replayed));
    }
    let is_later = file.attempt > dead_letter.attempt.unwrap_or_default();
    match file.status {
        Status::Completed => {}
        Status::Pending | Status::Processing if is_later => {}
        Status::Pending
        | Status::Uploading
        | Status::Processing
        | Status::Failed
        | Status::Cancelled
        | Status::Deleted => {
            let (id, status) = (file.id, file.status.name());
            return Err(not_replayable(&format!(
                "file {id} is {status}; a request is replayed when its file has failed or is cancelled"
            )));
        }
    }
    Ok((done, Replayed::Superseded { file_id: file.id, status: file.status }))
}

/// The value goes where it was, keyed as we key that topic, under an event id of its own.
fn republish_record(dead_letter: DeadLetter) -> Plan {
    let Some(origin) = dead_letter.origin else {
        return Err(not_replayable("the letter does not say where it came from"));
    };
    let (topic, key) = match origin.topic.as_str() {
        topics::CREATE => (topics::CREATE, None),
        topics::CREATED => (topics::CREATED, dead_letter.key),
        other => {
            return Err(not_replayable(&format!("it came from {other:?}, which filesys does not consume")));
        }
    };
    let Some(value) = dead_letter.value.map(Value::into_bytes) else {
        return Err(not_replayable("the record had no value"));
    };
    let file_id = dead_letter.file_id.unwrap_or(FileId(0));
    let key = key.map(Bytes::from);
    let message = OutboxMessage::new(Uuid::now_v7(), topic, key, value.into(), file_id)?;
    let resolution = Resolution { message: Some(message), ..resolution(DeadLetterState::Replayed) };
    Ok((resolution, Replayed::Published { topic }))
}

pub(super) fn resolution(state: DeadLetterState) -> Resolution {
    Resolution { state, change: None, message: None }
}

fn not_replayable(why: &str) -> Error {
    Error::new(ErrorCode::DeadLetterNotReplayable, format!("it can't be replayed: {why}"))
}
