//! The `Member` that the application holds: reads its inbox, commits, leaves.

use std::sync::{Arc, mpsc};
use std::thread;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::context::Context;
use super::inbox::Inbox;
use super::{CurrentConsumer, offset_list};
use crate::broker::kafka::{errors, limits};
use crate::broker::{BrokerError, Member, MemberEvent, Position};

/// Member of a consumer group. Dropping it leaves the group as `leave` does, without waiting for the end.
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
        consumer: Arc<CurrentConsumer>,
        inbox: Arc<Inbox>,
        has_ended: oneshot::Receiver<()>,
        client_id: &str,
    ) -> Result<Self, BrokerError> {
        let (commits, to_commit) = mpsc::channel();
        // A thread of its own: librdkafka blocks until the coordinator answers, for a session timeout when it is
        // unavailable. The polling thread must not block so long, and the runtime's shutdown would wait for a blocking
        // task.
        thread::Builder::new()
            .name(format!("{client_id}-commit"))
            .spawn(move || run_commits(&consumer, &to_commit))
            .map_err(|error| BrokerError::Unavailable(format!("no thread for commits: {error}")))?;
        Ok(Self { inbox, commits, has_ended: Some(has_ended) })
    }
}

/// Runs commits until the member is dropped. Skips commits whose callers have stopped waiting.
fn run_commits(consumer: &CurrentConsumer, commits: &mpsc::Receiver<Commit>) {
    for Commit { next_offsets, reply } in commits {
        // Ends by itself: the caller drops the other end at `COMMIT_TIMEOUT`.
        while !reply.is_closed() {
            // Not held during the pause: dropping the last reference leaves the group, which is the polling thread's to
            // do.
            let outcome = match consumer.get() {
                Some(consumer) => commit(&consumer, &next_offsets),
                None => Ok(Err(unavailable("the member has left its group"))),
            };
            if outcome.as_ref().is_err_and(is_between_generations) {
                thread::sleep(limits::COMMIT_RETRY_PAUSE);
                continue;
            }
            let _ = reply.send(outcome.unwrap_or_else(|error| Err(errors::from_commit(&error))));
            break;
        }
    }
}

/// Commits offsets of partitions that this member owns. The coordinator alone would not ensure it: while the group has
/// no members, it accepts commits of former ones.
fn commit(
    consumer: &BaseConsumer<Context>,
    next_offsets: &[Position],
) -> KafkaResult<Result<(), BrokerError>> {
    let assignment = consumer.assignment()?;
    let prefix = &consumer.context().shared.prefix;
    let is_ours =
        |next: &&Position| assignment.find_partition(&prefix.add(&next.topic), next.partition).is_some();
    let (ours, lost): (Vec<_>, Vec<_>) = next_offsets.iter().partition(is_ours);
    if !ours.is_empty() {
        consumer.commit(&offset_list(prefix, ours)?, CommitMode::Sync)?;
    }
    Ok(match lost.first() {
        Some(lost) => Err(unavailable(&format!("{lost} is not this member's to commit"))),
        None => Ok(()),
    })
}

/// Tells whether a commit failed because the group rebalances and librdkafka doesn't know the new generation yet.
/// Partitions that the member owns meanwhile stay its own, so the commit can be repeated.
fn is_between_generations(error: &KafkaError) -> bool {
    let passing = [RDKafkaErrorCode::IllegalGeneration, RDKafkaErrorCode::RebalanceInProgress];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

fn unavailable(why: &str) -> BrokerError {
    BrokerError::Unavailable(why.to_owned())
}

#[async_trait]
impl Member for KafkaMember {
    async fn next(&mut self, limit: usize) -> MemberEvent {
        self.inbox.next(limit).await
    }

    fn commit(&self, next_offsets: Vec<Position>) -> BoxFuture<'static, Result<(), BrokerError>> {
        if next_offsets.is_empty() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let (reply, outcome) = oneshot::channel();
        // When the thread has ended, `send` fails and drops `reply`, which ends the wait below.
        let _ = self.commits.send(Commit { next_offsets, reply });
        Box::pin(async move {
            match timeout(limits::COMMIT_TIMEOUT, outcome).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(unavailable("the committing thread ended")),
                Err(_) => Err(unavailable("the group's coordinator did not answer a commit in time")),
            }
        })
    }

    fn is_joined(&self) -> bool {
        self.inbox.is_joined()
    }

    async fn leave(mut self: Box<Self>) {
        // The polling thread notices it, and leaves the group.
        self.inbox.close();
        if let Some(has_ended) = self.has_ended.take()
            && timeout(limits::LEAVE_TIMEOUT, has_ended).await.is_err()
        {
            log::warn!("leaving the group takes long; it continues in the background");
        }
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
