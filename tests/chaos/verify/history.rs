//! I5: the history of one file against the transition table of docs/STATES.md, written here once more.

use super::journal::{ClientTransitions, SentRequest};
use super::violations::Violations;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
    Processing,
    Completed,
    Failed,
    Cancelled,
    Deleted,
}

use self::Status::{Cancelled, Completed, Deleted, Failed, Pending, Processing};

impl Status {
    pub fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "pending" => Pending,
            "processing" => Processing,
            "completed" => Completed,
            "failed" => Failed,
            "cancelled" => Cancelled,
            "deleted" => Deleted,
            other => return Err(format!("there is no status {other:?}")),
        })
    }
}

/// History entry, a row of table `transitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub from: Option<Status>,
    pub to: Status,
    pub attempt: i32,
    /// True if it names a worker.
    pub by_worker: bool,
}

/// Transition of a file, by its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Accepted,
    Started,
    Completed,
    /// By a worker or by the deadline.
    Failed,
    Cancelled,
    Deleted,
    Retried,
    Republished,
}

/// Returns the transition that an entry is; `None` if the table has no such row.
pub fn transition(before: Option<(Status, i32)>, entry: Entry) -> Option<Transition> {
    let Some((status, attempt)) = before else {
        return (entry.from.is_none() && entry.to == Pending && entry.attempt == 1)
            .then_some(Transition::Accepted);
    };
    let raised = entry.attempt.checked_sub(attempt)?;
    if entry.from != Some(status) {
        return None;
    }
    match (status, entry.to, raised) {
        (Pending, Processing, 0) => Some(Transition::Started),
        (Pending | Processing, Completed, 0) => Some(Transition::Completed),
        (Pending | Processing, Failed, 0) => Some(Transition::Failed),
        (Pending | Processing, Cancelled, 0) => Some(Transition::Cancelled),
        (Pending | Processing | Completed | Failed | Cancelled, Deleted, 0) => Some(Transition::Deleted),
        (Pending, Pending, 1) | (Processing, Processing, 1) => Some(Transition::Republished),
        (Failed | Cancelled, Pending, 1) => Some(Transition::Retried),
        _ => None,
    }
}

/// Each entry of a history with its transition.
pub fn transitions(entries: &[Entry]) -> impl Iterator<Item = (Entry, Option<Transition>)> {
    let before = std::iter::once(None).chain(entries.iter().map(|entry| Some((entry.to, entry.attempt))));
    before.zip(entries).map(|(before, entry)| (*entry, transition(before, *entry)))
}

/// State of a file in its row.
#[derive(Debug, Clone, Copy)]
pub struct RowState {
    pub id: i64,
    pub status: Status,
    pub attempt: i32,
    pub sequence: i64,
}

pub fn check(row: RowState, entries: &[Entry], violations: &mut Violations) {
    let id = row.id;
    for (entry, transition) in transitions(entries) {
        if transition.is_none() {
            violations.add("I5", "illegal-transition", || format!("file {id}: {entry:?} in {entries:?}"));
        }
    }
    for attempt in 1..=row.attempt {
        let ends =
            |entry: &&Entry| entry.attempt == attempt && matches!(entry.to, Completed | Failed | Cancelled);
        if entries.iter().filter(ends).count() > 1 {
            violations.add("I5", "two-outcomes", || format!("file {id}, attempt {attempt}: {entries:?}"));
        }
    }
    let last = entries.last().map(|entry| (entry.to, entry.attempt));
    if last != Some((row.status, row.attempt)) {
        violations.add("I5", "row-is-not-last-entry", || format!("{row:?}: {entries:?}"));
    }
    if usize::try_from(row.sequence) != Ok(entries.len()) {
        violations.add("I5", "sequence-is-not-entries", || format!("{row:?}: {entries:?}"));
    }
}

/// Compares the transitions that clients asked for with those in the history.
pub fn check_client_transitions(id: i64, entries: &[Entry], sent: &SentRequest, violations: &mut Violations) {
    let count = |wanted| transitions(entries).filter(|(_, transition)| *transition == Some(wanted)).count();
    let mut compare = |what, asked: ClientTransitions, made: usize, needed: u32| {
        let made = u32::try_from(made).unwrap_or(u32::MAX);
        if made > asked.possible {
            violations
                .add("I5", "unrequested-transition", || format!("file {id}: {what}: {made} of {asked:?}"));
        }
        if made < needed {
            violations.add("I1", "transition-lost", || format!("file {id}: {what}: {made} of {asked:?}"));
        }
    };
    // Cancelling and deleting again is answered alike and changes nothing; a retry is answered 202 only if it does.
    let (cancels, retries, deletes) = (sent.cancels, sent.retries, sent.deletes);
    compare("cancel", cancels, count(Transition::Cancelled), cancels.done.min(1));
    compare("retry", retries, count(Transition::Retried), retries.done);
    compare("delete", deletes, count(Transition::Deleted), deletes.done.min(1));
}

/// Tells whether it failed without a result: its deadline passed, or its request could not be published.
pub fn failed_without_result(entries: &[Entry]) -> bool {
    transitions(entries).any(|(entry, transition)| transition == Some(Transition::Failed) && !entry.by_worker)
}

/// Tells whether its request was published again without a client's retry.
pub fn was_republished(entries: &[Entry]) -> bool {
    transitions(entries).any(|(_, transition)| transition == Some(Transition::Republished))
}
