//! A member of a group of the local broker. Nothing is fetched ahead: records are read when `next` asks for them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::LocalBroker;
use super::assignment::MemberId;
use super::state::State;
use crate::broker::{BrokerError, Member, MemberEvent, Membership, Position, Revocation, TopicPartition};

/// Member of a group of the broker in memory.
pub struct LocalMember {
    broker: LocalBroker,
    id: MemberId,
    group: String,
    session_timeout: Duration,
    wake: Arc<Notify>,
    fetches: usize,
}

impl LocalMember {
    /// Joins the group.
    pub fn join(broker: &LocalBroker, membership: Membership) -> Self {
        let (id, wake) = broker.state().join(&membership);
        Self {
            broker: broker.clone(),
            id,
            group: membership.group,
            session_timeout: membership.session_timeout,
            wake,
            fetches: 0,
        }
    }

    /// Takes the next event. What is taken is returned without an await in between, which makes `next` cancel safe.
    fn take(&mut self, limit: usize) -> Option<MemberEvent> {
        let mut state = self.broker.state();
        let State { topics, groups, .. } = &mut *state;
        let group = groups.get_mut(&self.group)?;
        if let Some(error) = group.take_error(self.id) {
            return Some(MemberEvent::Error(error));
        }
        let partitions = group.to_revoke(self.id);
        if !partitions.is_empty() {
            let (reply, answer) = oneshot::channel();
            group.revoke(self.id, self.wait_for(answer, partitions.clone()));
            return Some(MemberEvent::Revoked(Revocation { partitions, reply }));
        }
        let partitions = group.assign(self.id, topics);
        if !partitions.is_empty() {
            return Some(MemberEvent::Assigned(partitions));
        }
        if limit == 0 {
            return None;
        }
        self.fetches = self.fetches.wrapping_add(1);
        let records = group.fetch(self.id, topics, limit, self.fetches);
        (!records.is_empty()).then_some(MemberEvent::Records(records))
    }

    /// Starts a task that waits for the reply, so that partitions change hands even while `next` is not called.
    fn wait_for(
        &self,
        answer: oneshot::Receiver<Vec<Position>>,
        partitions: Vec<TopicPartition>,
    ) -> AbortOnDropHandle<()> {
        let state = Arc::downgrade(&self.broker.state);
        let (id, group, limit) = (self.id, self.group.clone(), self.session_timeout);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let answer = tokio::time::timeout(limit, answer).await;
            if answer.is_err() {
                log::warn!(group = group.as_str(), partitions = partitions.len(); "no reply to the revocation in time; its records may be handled twice");
            }
            let next_offsets = answer.ok().and_then(Result::ok).unwrap_or_default();
            // A weak reference: the task must not keep the broker alive.
            if let Some(state) = state.upgrade() {
                LocalBroker { state }.state().release(&group, id, &partitions, &next_offsets);
            }
        }))
    }
}

#[async_trait]
impl Member for LocalMember {
    async fn next(&mut self, limit: usize) -> MemberEvent {
        loop {
            // A member that always finds records would never yield to other tasks.
            tokio::task::coop::consume_budget().await;
            if let Some(event) = self.take(limit) {
                return event;
            }
            // `Notify` stores a wake-up that came since `take`, so none is missed.
            self.wake.notified().await;
        }
    }

    fn commit(&self, next_offsets: Vec<Position>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(std::future::ready(self.broker.state().commit(&self.group, self.id, &next_offsets)))
    }

    async fn leave(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for LocalMember {
    fn drop(&mut self) {
        self.broker.state().leave(&self.group, self.id);
    }
}
