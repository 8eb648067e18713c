//! Moves of files: what is committed with each of them, and those that a person asks for.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::get;
use crate::actions::{Guard, ServeContext};
use crate::config::EventsConfig;
use crate::db::Db;
use crate::db::files::{Change, Transitions};
use crate::db::outbox::OutboxMessage;
use crate::domain::files::status::{Decision, IgnoreReason, State, Transition, evaluate, next};
use crate::domain::messages::file_create::CreateFile;
use crate::domain::messages::{CompatEvent, CompatType, topics};
use crate::domain::{
    Error, ErrorCode, EventType, File, FileEvent, FileId, FileOrigin, HistoryEntry, Result, Status, Timestamp,
};
use crate::storage::object_keys;

/// Values that a transition sets besides the status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    pub s3_location: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<String>,
    pub error: Option<String>,
    pub worker: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub duration_ms: Option<i64>,
    /// A new one, counted from the move; `None` keeps the old one.
    pub deadline: Option<Duration>,
}

/// Time of the transaction that changes files, and how its events are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeContext<'a> {
    pub now: Timestamp,
    pub events: &'a EventsConfig,
}

/// Makes a move that a person asks for and gives the file as it is afterwards. One that was made already changes
/// nothing and is no error; one that the status does not allow is a `Conflict`. The guard is asked about a move that is
/// possible.
pub(crate) async fn request_transition(
    ctx: &ServeContext,
    id: FileId,
    by: Transition,
    details: Details,
    guard: Guard<File>,
) -> Result<File> {
    let (bucket, events) = (ctx.storage.bucket_name(), ctx.events.clone());
    let changed = ctx.db.files().transition(vec![id], move |files, now| {
        let Some(mut file) = files.into_iter().next() else { return (Transitions::default(), Ok(None)) };
        let decision = evaluate(file.state(), by, None);
        if !matches!(decision, Decision::Ignore(why) if why != IgnoreReason::Repeated || by.raises_attempt())
            && let Err(error) = guard.check(&file)
        {
            return (Transitions::default(), Err(error));
        }
        match decision {
            Decision::Apply(to) => {
                // What is made once more may get another name than another program gave it.
                let goes = |object: &String| {
                    by == Transition::Delete || (by == Transition::Remake && *object != key_of(&file))
                };
                let object = object_of(&bucket, &file).filter(goes);
                let removals = object.map(|object| (id, object)).into_iter().collect();
                let context = ChangeContext { now, events: &events };
                match apply(&context, &mut file, by, to, details.clone()) {
                    Ok(change) => (Transitions { changes: vec![change], removals }, Ok(Some(file))),
                    Err(error) => (Transitions::default(), Err(error)),
                }
            }
            Decision::Ignore(IgnoreReason::Repeated) if !by.raises_attempt() => {
                (Transitions::default(), Ok(Some(file)))
            }
            Decision::Ignore(_) => (Transitions::default(), Err(not_allowed(&file, by))),
        }
    });
    let file = changed.await??.ok_or_else(|| get::not_found(id))?;
    ctx.removals.notify_one();
    Ok(file)
}

/// Makes the same transition of each file whose status allows it, without a caller. Returns their number.
pub(crate) async fn transition_all(
    db: &Db,
    events: &EventsConfig,
    ids: Vec<FileId>,
    by: Transition,
    error: Option<&str>,
) -> Result<usize> {
    let details = Details { error: error.map(str::to_owned), ..Details::default() };
    transition_each(db, events, ids, |_| Some((by, details.clone()))).await
}

/// Makes the transition that `choose` names for each file whose status allows it. Returns their number.
pub(crate) async fn transition_each(
    db: &Db,
    events: &EventsConfig,
    ids: Vec<FileId>,
    choose: impl Fn(&File) -> Option<(Transition, Details)> + Send + Sync,
) -> Result<usize> {
    let changed = db.files().transition(ids, |files, now| {
        let change = |mut file: File| {
            let (by, details) = choose(&file)?;
            let Decision::Apply(to) = evaluate(file.state(), by, None) else { return None };
            Some(apply(&ChangeContext { now, events }, &mut file, by, to, details))
        };
        match files.into_iter().filter_map(change).collect::<Result<Vec<Change>>>() {
            Ok(changes) => {
                let count = changes.len();
                (Transitions { changes, ..Transitions::default() }, Ok(count))
            }
            Err(error) => (Transitions::default(), Err(error)),
        }
    });
    changed.await?
}

fn not_allowed(file: &File, by: Transition) -> Error {
    let allowed = Status::ALL.into_iter().filter(|from| next(*from, by).is_some()).map(Status::name);
    let allowed = allowed.collect::<Vec<_>>().join(", ");
    let detail =
        format!("the file is {}; {} is possible while it is: {allowed}", file.status.name(), by.name());
    Error::new(ErrorCode::StatusDoesNotAllow, detail)
}

/// Returns the key of its object, stored or not; `None` for an upload that has none, whose row tells what may be stored.
fn object_of(bucket: &str, file: &File) -> Option<String> {
    let stored =
        file.s3_location.as_deref().and_then(|location| object_keys::own_key(bucket, file.id, location));
    match stored {
        Some(key) => Some(key.to_owned()),
        None if file.is_upload() => None,
        None => Some(key_of(file)),
    }
}

fn key_of(file: &File) -> String {
    object_keys::object_key(file.id, &file.title, file.created_at, file.format.unwrap_or_default())
}

/// Returns the key that a worker may store the file under, when the file gets another one by a new title before it is made: the
/// request that the worker has names the old one.
pub(super) fn key_left_behind(before: &File, after: &File) -> Option<String> {
    let is_made = before.attributes.origin == FileOrigin::Generated && before.status.is_unfinished();
    (is_made && key_of(before) != key_of(after)).then(|| key_of(before))
}

/// Moves `file` to where the decision says and tells what to commit for it.
pub(crate) fn apply(
    context: &ChangeContext<'_>,
    file: &mut File,
    by: Transition,
    to: State,
    details: Details,
) -> Result<Change> {
    let ChangeContext { now, events } = *context;
    let from = file.status;
    let before = events.compat.is_some().then(|| file.clone());
    // Before its title is erased.
    let is_made = file.attributes.origin == FileOrigin::Generated && from.is_unfinished();
    let potential_orphan = (is_made && ends_without_object(to.status)).then(|| key_of(file));
    let erases = to.status == Status::Deleted;
    file.status = to.status;
    file.attempt = to.attempt;
    file.error.clone_from(&details.error);
    if erases {
        file.erase(now);
    } else {
        file.s3_location = details.s3_location;
        file.size = details.size;
        file.sha256 = details.sha256;
    }
    file.updated_at = now;
    // A good file's line is its worker's.
    let level = if ends_without_object(to.status) { log::Level::Info } else { log::Level::Debug };
    log::log!(
        level, file_id = file.id.0, attempt = file.attempt.0, status = file.status.name(), by = by.name();
        "file updated"
    );
    let mut messages = Vec::with_capacity(2);
    for event_type in EventType::of(by) {
        file.sequence += 1;
        messages.push(event(file, *event_type, events)?);
        messages.extend(compat_event(before.as_ref(), file, *event_type, events)?);
    }
    if by.raises_attempt() {
        messages.push(request(file)?);
    }
    Ok(Change {
        deadline_at: details.deadline.map(|deadline| now.plus(deadline)),
        transition: HistoryEntry {
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
        potential_orphan,
        erases,
        file: file.clone(),
    })
}

/// A worker may be at it all the same. Its result would tell; but Kafka may lose that.
const fn ends_without_object(status: Status) -> bool {
    match status {
        Status::Failed | Status::Cancelled | Status::Deleted => true,
        Status::Pending | Status::Uploading | Status::Processing | Status::Completed => false,
    }
}

/// Makes the request for the file's current attempt. It has no key, so that requests spread over all partitions.
pub(crate) fn request(file: &File) -> Result<OutboxMessage> {
    OutboxMessage::json(Uuid::now_v7(), topics::CREATE, None, &CreateFile::of(file), file.id)
}

/// Makes the event, keyed by file so that the events of one file keep their order.
pub(crate) fn event(file: &File, event_type: EventType, config: &EventsConfig) -> Result<OutboxMessage> {
    let id = Uuid::now_v7();
    let key = Bytes::from(file.id.to_string());
    let event = FileEvent::new(id, event_type, file, &config.base_url);
    OutboxMessage::json(id, topics::EVENTS, Some(key), &event, file.id)
}

/// Makes the record for consumers of the third source system, if there is one for the event and the topic is wanted. A
/// deleted file has no name and no object any more: what is told of it is how it was `before`.
pub(crate) fn compat_event(
    before: Option<&File>,
    file: &File,
    event_type: EventType,
    config: &EventsConfig,
) -> Result<Option<OutboxMessage>> {
    let Some((compat, compat_type)) = config.compat.as_ref().zip(CompatType::of(event_type)) else {
        return Ok(None);
    };
    let told = before.filter(|_| compat_type == CompatType::Deleted).unwrap_or(file);
    let key = Bytes::from(file.id.to_string());
    CompatEvent::new(compat_type, told, file.updated_at, &compat.bucket_url)
        .map(|event| {
            OutboxMessage::json(Uuid::now_v7(), compat.topic.to_string(), Some(key), &event, file.id)
        })
        .transpose()
}
