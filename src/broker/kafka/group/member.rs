//! The `Member` that the application holds: its inbox, its commits, its leave.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::context::Context;
use super::inbox::Inbox;
use super::{Current, offset_list};
use crate::broker::kafka::{errors, limit};
use crate::broker::{BrokerError, Member, MemberEvent, Position};

const RETRY_PAUSE: Duration = Duration::from_millis(50);

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
        consumer: Arc<Current>,
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

/// Runs commits until the member is dropped. A commit whose caller has stopped waiting is left out.
fn run_commits(consumer: &Current, commits: &mpsc::Receiver<Commit>) {
    for Commit { next_offsets, reply } in commits {
        while !reply.is_closed() {
            // Not held during the pause: the polling thread's is to be the last, its end leaves the group.
            let outcome = match consumer.get() {
                Some(consumer) => commit(&consumer, &next_offsets),
                None => Ok(Err(unavailable("the member has left its group"))),
            };
            if outcome.as_ref().is_err_and(is_between_generations) {
                thread::sleep(RETRY_PAUSE);
                continue;
            }
            let _ = reply.send(outcome.unwrap_or_else(|error| Err(errors::from_commit(&error))));
            break;
        }
    }
}

/// Only for what we own. The coordinator itself takes a former member's commit while the group has no members.
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

/// Others have joined or left and librdkafka doesn't know the new generation yet. What we own meanwhile stays ours.
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
        // A closed channel drops `reply`.
        let _ = self.commits.send(Commit { next_offsets, reply });
        Box::pin(async move {
            match timeout(limit::COMMIT, outcome).await {
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
