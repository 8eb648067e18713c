//! The `Member` that the application holds: its inbox, its commits, its leave.

use std::sync::{Arc, Weak, mpsc};
use std::thread;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::context::Context;
use super::inbox::Inbox;
use super::offset_list;
use crate::broker::kafka::{errors, limit};
use crate::broker::{BrokerError, Member, MemberEvent, Position};

/// Dropping it leaves the group as `leave` does, without waiting for that.
pub(in crate::broker::kafka) struct KafkaMember {
    inbox: Arc<Inbox>,
    commits: mpsc::Sender<Commit>,
    /// Closes when the thread has left the group.
    has_ended: Option<oneshot::Receiver<()>>,
}

struct Commit {
    next_offsets: Vec<Position>,
    reply: oneshot::Sender<Result<(), BrokerError>>,
}

impl KafkaMember {
    pub(super) fn new(
        consumer: Weak<BaseConsumer<Context>>,
        inbox: Arc<Inbox>,
        has_ended: oneshot::Receiver<()>,
        client_id: &str,
    ) -> Result<Self, BrokerError> {
        let (commits, to_commit) = mpsc::channel();
        // A thread of its own: librdkafka blocks until the coordinator answers, for a session timeout when it is
        // away. The polling thread must not wait so long, and the runtime's shutdown would wait for a blocking task.
        thread::Builder::new()
            .name(format!("{client_id}-commit"))
            .spawn(move || run_commits(&consumer, &to_commit))
            .map_err(|error| BrokerError::Unavailable(format!("no thread for commits: {error}")))?;
        Ok(Self { inbox, commits, has_ended: Some(has_ended) })
    }
}

/// Until the member is dropped. One whose caller stopped waiting is left out.
fn run_commits(consumer: &Weak<BaseConsumer<Context>>, commits: &mpsc::Receiver<Commit>) {
    for Commit { next_offsets, reply } in commits {
        if reply.is_closed() {
            continue;
        }
        let outcome = match consumer.upgrade() {
            Some(consumer) => commit(&consumer, next_offsets),
            None => Err(unavailable("the member has left its group")),
        };
        let _ = reply.send(outcome);
    }
}

/// Only for what we own. The coordinator itself takes a former member's commit while the group has no members.
fn commit(consumer: &BaseConsumer<Context>, next_offsets: Vec<Position>) -> Result<(), BrokerError> {
    let refused = |error| errors::from_commit(&error);
    let assignment = consumer.assignment().map_err(refused)?;
    let is_ours = |next: &Position| assignment.find_partition(&next.topic, next.partition).is_some();
    let (ours, lost): (Vec<_>, Vec<_>) = next_offsets.into_iter().partition(is_ours);
    if !ours.is_empty() {
        offset_list(&ours)
            .and_then(|offsets| consumer.commit(&offsets, CommitMode::Sync))
            .map_err(refused)?;
    }
    match lost.first() {
        Some(lost) => Err(unavailable(&format!("{lost} is not this member's to commit"))),
        None => Ok(()),
    }
}

fn unavailable(why: &str) -> BrokerError {
    BrokerError::Unavailable(why.to_owned())
}

#[async_trait]
impl Member for KafkaMember {
    async fn next(&mut self, limit: usize) -> MemberEvent {
        self.inbox.next(limit).await
    }

    async fn commit(&self, next_offsets: Vec<Position>) -> Result<(), BrokerError> {
        if next_offsets.is_empty() {
            return Ok(());
        }
        let (reply, outcome) = oneshot::channel();
        // A closed channel drops `reply`.
        let _ = self.commits.send(Commit { next_offsets, reply });
        match timeout(limit::COMMIT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the committing thread ended")),
            Err(_) => Err(unavailable("the group's coordinator did not answer a commit in time")),
        }
    }

    async fn leave(mut self: Box<Self>) {
        self.inbox.close();
        if let Some(has_ended) = self.has_ended.take()
            && timeout(limit::LEAVE, has_ended).await.is_err()
        {
            log::warn!("leaving the group takes long; it goes on in the background");
        }
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
