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
    turn: usize,
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
            turn: 0,
        }
    }

    /// Whatever this takes out of the broker it returns at once, with no await in between: so `next` is cancel safe.
    fn take(&mut self, limit: usize) -> Option<MemberEvent> {
        let mut state = self.broker.state();
        let State { topics, groups, .. } = &mut *state;
        let group = groups.get_mut(&self.group)?;
        if let Some(trouble) = group.take_trouble(self.id) {
            return Some(MemberEvent::Trouble(trouble));
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
        self.turn = self.turn.wrapping_add(1);
        let records = group.fetch(self.id, topics, limit, self.turn);
        (!records.is_empty()).then_some(MemberEvent::Records(records))
    }

    /// A task, so that partitions change hands also while nobody calls `next`.
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
                log::warn!(group = group.as_str(), partitions = partitions.len(); "revocation not answered in time");
            }
            let next_offsets = answer.ok().and_then(Result::ok).unwrap_or_default();
            // When the broker is gone, so is everything it would tell.
            if let Some(state) = state.upgrade() {
                LocalBroker { state }.state().give_back(&group, id, &partitions, &next_offsets);
            }
        }))
    }
}

#[async_trait]
impl Member for LocalMember {
    async fn next(&mut self, limit: usize) -> MemberEvent {
        loop {
            // A member that always finds records must let others run.
            tokio::task::coop::consume_budget().await;
            if let Some(event) = self.take(limit) {
                return event;
            }
            // A wake-up since `take` is kept for us, so none is missed.
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
