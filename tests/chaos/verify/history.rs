//! I5: one file's history against the drawing in docs/STATES.md, which is written down here once more.

use super::findings::Findings;
use super::stories::{Moves, Story};

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

/// A line of table `transitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub from: Option<Status>,
    pub to: Status,
    pub attempt: i32,
    /// A worker is named.
    pub by_worker: bool,
}

/// Who or what draws an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Accepted,
    Started,
    Completed,
    /// By a worker, or by the deadline.
    Failed,
    Cancelled,
    Deleted,
    Retried,
    Rescued,
}

/// `None`: the drawing has no such edge.
pub fn edge(before: Option<(Status, i32)>, line: Line) -> Option<Edge> {
    let Some((status, attempt)) = before else {
        return (line.from.is_none() && line.to == Pending && line.attempt == 1).then_some(Edge::Accepted);
    };
    let raised = line.attempt.checked_sub(attempt)?;
    if line.from != Some(status) {
        return None;
    }
    match (status, line.to, raised) {
        (Pending, Processing, 0) => Some(Edge::Started),
        (Pending | Processing, Completed, 0) => Some(Edge::Completed),
        (Pending | Processing, Failed, 0) => Some(Edge::Failed),
        (Pending | Processing, Cancelled, 0) => Some(Edge::Cancelled),
        (Pending | Processing | Completed | Failed | Cancelled, Deleted, 0) => Some(Edge::Deleted),
        (Pending, Pending, 1) | (Processing, Processing, 1) => Some(Edge::Rescued),
        (Failed | Cancelled, Pending, 1) => Some(Edge::Retried),
        _ => None,
    }
}

/// The edges of a history whose lines are all legal.
pub fn edges(lines: &[Line]) -> impl Iterator<Item = (Line, Option<Edge>)> {
    let before = std::iter::once(None).chain(lines.iter().map(|line| Some((line.to, line.attempt))));
    before.zip(lines).map(|(before, line)| (*line, edge(before, *line)))
}

/// A file as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub id: i64,
    pub status: Status,
    pub attempt: i32,
    pub sequence: i64,
}

pub fn check(end: End, lines: &[Line], findings: &mut Findings) {
    let id = end.id;
    for (line, edge) in edges(lines) {
        if edge.is_none() {
            findings.add("I5", "illegal-edge", || format!("file {id}: {line:?} in {lines:?}"));
        }
    }
    for attempt in 1..=end.attempt {
        let ends =
            |line: &&Line| line.attempt == attempt && matches!(line.to, Completed | Failed | Cancelled);
        if lines.iter().filter(ends).count() > 1 {
            findings.add("I5", "two-outcomes", || format!("file {id}, attempt {attempt}: {lines:?}"));
        }
    }
    let last = lines.last().map(|line| (line.to, line.attempt));
    if last != Some((end.status, end.attempt)) {
        findings.add("I5", "row-is-not-last-line", || format!("{end:?}: {lines:?}"));
    }
    if usize::try_from(end.sequence) != Ok(lines.len()) {
        findings.add("I5", "sequence-is-not-lines", || format!("{end:?}: {lines:?}"));
    }
}

/// Whether people's moves and the history tell the same, and nothing was asked for twice without a reason.
pub fn check_moves(id: i64, lines: &[Line], story: &Story, findings: &mut Findings) {
    let count = |wanted| edges(lines).filter(|(_, edge)| *edge == Some(wanted)).count();
    let mut compare = |what, moves: Moves, made: usize, needed: u32| {
        let made = u32::try_from(made).unwrap_or(u32::MAX);
        if made > moves.possible {
            findings.add("I5", "moved-by-nobody", || format!("file {id}: {what}: {made} of {moves:?}"));
        }
        if made < needed {
            findings.add("I1", "move-lost", || format!("file {id}: {what}: {made} of {moves:?}"));
        }
    };
    // Cancelling and deleting again is answered alike and changes nothing; a retry is answered 202 only if it does.
    let (cancels, retries, deletes) = (story.cancels, story.retries, story.deletes);
    compare("cancel", cancels, count(Edge::Cancelled), cancels.done.min(1));
    compare("retry", retries, count(Edge::Retried), retries.done);
    compare("delete", deletes, count(Edge::Deleted), deletes.done.min(1));
}

/// Failed, and no worker said so: its deadline passed, or its request could not be published.
pub fn expired(lines: &[Line]) -> bool {
    edges(lines).any(|(line, edge)| edge == Some(Edge::Failed) && !line.by_worker)
}

/// Asked for again, and no person did.
pub fn rescued(lines: &[Line]) -> bool {
    edges(lines).any(|(_, edge)| edge == Some(Edge::Rescued))
}
