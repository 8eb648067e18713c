//! Bounded queue between the thread that polls librdkafka and `Member::next`: events first, then records.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::broker::kafka::{limits, size};
use crate::broker::{BrokerError, Delivery, MemberEvent, Position, Revocation, TopicPartition};

/// Events and records that the member has not been given yet.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
    is_joined: AtomicBool,
}

#[derive(Default)]
struct State {
    events: VecDeque<MemberEvent>,
    records: VecDeque<Delivery>,
    /// Ends of partitions, each with the number of `records` that come before it.
    ends: VecDeque<(usize, Position)>,
    bytes: usize,
    is_closed: bool,
}

impl Inbox {
    /// Waits for the next event. Cancel safe: what is taken is returned without another await.
    pub async fn next(&self, limit: usize) -> MemberEvent {
        loop {
            // Registered before looking: a wake-up in between is not lost.
            let arrived = self.arrived.notified();
            if let Some(event) = self.state().take(limit) {
                return event;
            }
            arrived.await;
        }
    }

    /// Adds a record, which `wake` makes visible. Returns whether the inbox is full, so that the partition has to be
    /// paused.
    pub fn push(&self, delivery: Delivery) -> bool {
        let mut state = self.state();
        state.bytes += memory(&delivery);
        state.records.push_back(delivery);
        state.records.len() >= limits::MAX_INBOX_RECORDS || state.bytes >= limits::MAX_INBOX_BYTES
    }

    /// Notes that nothing is left to read below this offset; reported behind the records before it.
    pub fn end_reached(&self, end: Position) {
        let mut state = self.state();
        let before = state.records.len();
        state.ends.retain(|(_, other)| other.topic_partition() != end.topic_partition());
        state.ends.push_back((before, end));
    }

    /// Wakes the member if there is anything for it: once for all that was added since.
    pub fn wake(&self) {
        let state = self.state();
        if !state.records.is_empty() || !state.ends.is_empty() {
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Tells whether half of the inbox is free. Not sooner: each pause makes librdkafka drop and refetch what it had
    /// fetched ahead.
    pub fn has_capacity(&self) -> bool {
        let state = self.state();
        state.records.len() < limits::MAX_INBOX_RECORDS / 2 && state.bytes < limits::MAX_INBOX_BYTES / 2
    }

    /// Tells whether the member had joined when the polling thread looked last.
    pub fn is_joined(&self) -> bool {
        self.is_joined.load(Ordering::Relaxed)
    }

    /// Notes whether the member has joined.
    pub fn set_joined(&self, is_joined: bool) {
        self.is_joined.store(is_joined, Ordering::Relaxed);
    }

    /// Notes partitions that the group has assigned.
    pub fn assigned(&self, partitions: Vec<TopicPartition>) {
        self.state().events.push_back(MemberEvent::Assigned(partitions));
        self.arrived.notify_one();
    }

    /// Drops the partitions' records that the member was not given yet. `None` when the member has left and can't
    /// reply.
    pub fn revoke(&self, partitions: Vec<TopicPartition>) -> Option<oneshot::Receiver<Vec<Position>>> {
        let mut state = self.state();
        // How many records before each end were dropped is unknown: the ends are reported behind all that are left.
        state.records.retain(|delivery| !partitions.contains(&delivery.position.topic_partition()));
        let left = state.records.len();
        state.ends.retain(|(_, end)| !partitions.contains(&end.topic_partition()));
        state.ends.iter_mut().for_each(|(before, _)| *before = left);
        state.bytes = state.records.iter().map(memory).sum();
        if state.is_closed {
            return None;
        }
        let (reply, offsets) = oneshot::channel();
        state.events.push_back(MemberEvent::Revoked(Revocation { partitions, reply }));
        // Released before waking, so that the woken task does not block on it.
        drop(state);
        self.arrived.notify_one();
        Some(offsets)
    }

    /// Reports an error. It replaces one that the member was not given yet, so that errors don't pile up; but an outage
    /// does not replace a configuration error, which may be its cause.
    pub fn error(&self, error: BrokerError) {
        let mut state = self.state();
        let is_cause =
            |event: &MemberEvent| matches!(event, MemberEvent::Error(BrokerError::Configuration(_)));
        if matches!(error, BrokerError::Unavailable(_)) && state.events.iter().any(is_cause) {
            return;
        }
        state.events.retain(|event| !matches!(event, MemberEvent::Error(_)));
        state.events.push_back(MemberEvent::Error(error));
        drop(state);
        self.arrived.notify_one();
    }

    /// Closes the inbox: the member has left. Dropping the revocations in it replies to them with nothing to commit.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.events.clear();
        state.records.clear();
        state.ends.clear();
    }

    /// Tells whether the member has been left or dropped.
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, limit: usize) -> Option<MemberEvent> {
        // Events first: a revocation must not wait behind records, some of which it has dropped.
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if limit > 0 && self.ends.front().is_some_and(|(before, _)| *before == 0) {
            return self.ends.pop_front().map(|(_, end)| MemberEvent::EndReached(end));
        }
        let count = limit.min(self.records.len());
        if count == 0 {
            return None;
        }
        let records: Vec<Delivery> = self.records.drain(..count).collect();
        self.bytes -= records.iter().map(memory).sum::<usize>();
        self.ends.iter_mut().for_each(|(before, _)| *before = before.saturating_sub(count));
        Some(MemberEvent::Records(records))
    }
}

fn memory(delivery: &Delivery) -> usize {
    size_of::<Delivery>() + size(&delivery.record)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::broker::Record;

    fn delivery(partition: i32, offset: i64) -> Delivery {
        let position = Position { topic: "t".into(), partition, offset };
        Delivery { position, timestamp_ms: 0, record: Record::default(), undecodable: None }
    }

    fn offsets(event: Option<MemberEvent>) -> Vec<(i32, i64)> {
        match event {
            Some(MemberEvent::Records(records)) => {
                records.iter().map(|record| (record.position.partition, record.position.offset)).collect()
            }
            event => panic!("no records but {event:?}"),
        }
    }

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition { topic: Arc::from("t"), partition }
    }

    #[test]
    fn what_is_revoked_is_never_delivered_and_the_rest_is() {
        let inbox = Inbox::default();
        for offset in 0..3 {
            inbox.push(delivery(0, offset));
            inbox.push(delivery(1, offset));
        }
        let mut reply = inbox.revoke(vec![partition(0)]).unwrap();
        match inbox.next(10).now_or_never() {
            Some(MemberEvent::Revoked(revocation)) => {
                assert_eq!(revocation.partitions, [partition(0)]);
                revocation.reply.send(Vec::new()).unwrap();
            }
            event => panic!("not revoked first but {event:?}"),
        }
        assert!(reply.try_recv().is_ok());
        assert_eq!(offsets(inbox.next(2).now_or_never()), [(1, 0), (1, 1)]);
        assert_eq!(offsets(inbox.next(2).now_or_never()), [(1, 2)]);
        assert!(inbox.next(2).now_or_never().is_none());
        assert_eq!(inbox.state().bytes, 0);
    }

    #[test]
    fn an_end_is_reported_after_the_records_before_it() {
        let inbox = Inbox::default();
        inbox.push(delivery(0, 0));
        inbox.end_reached(delivery(0, 3).position);
        inbox.push(delivery(0, 3));
        inbox.end_reached(delivery(1, 9).position);
        assert_eq!(offsets(inbox.next(1).now_or_never()), [(0, 0)]);
        let mut ends = Vec::new();
        for _ in 0..3 {
            match inbox.next(9).now_or_never() {
                Some(MemberEvent::EndReached(end)) => ends.push((end.partition, end.offset)),
                records => assert_eq!(offsets(records), [(0, 3)]),
            }
        }
        assert_eq!(ends, [(0, 3), (1, 9)]);
    }

    #[test]
    fn with_limit_0_only_events_come() {
        let inbox = Inbox::default();
        inbox.push(delivery(0, 0));
        assert!(inbox.next(0).now_or_never().is_none());
        inbox.assigned(vec![partition(1)]);
        assert!(matches!(inbox.next(0).now_or_never(), Some(MemberEvent::Assigned(_))));
    }

    #[test]
    fn it_is_full_until_half_of_it_is_taken() {
        let inbox = Inbox::default();
        let mut offset = 0;
        while !inbox.push(delivery(0, offset)) {
            offset += 1;
        }
        assert_eq!(offset + 1, i64::try_from(limits::MAX_INBOX_RECORDS).unwrap());
        assert!(!inbox.has_capacity());
        inbox.next(limits::MAX_INBOX_RECORDS / 2).now_or_never().unwrap();
        assert!(!inbox.has_capacity());
        inbox.next(1).now_or_never().unwrap();
        assert!(inbox.has_capacity());
    }

    #[test]
    fn an_outage_does_not_hide_a_configuration_error() {
        let inbox = Inbox::default();
        inbox.error(BrokerError::Unavailable("down".to_owned()));
        inbox.error(BrokerError::Configuration("wrong password".to_owned()));
        inbox.error(BrokerError::Unavailable("all down".to_owned()));
        let event = inbox.next(0).now_or_never();
        assert!(matches!(event, Some(MemberEvent::Error(BrokerError::Configuration(_)))), "{event:?}");
        assert!(inbox.next(0).now_or_never().is_none());
    }

    #[test]
    fn closing_replies_to_revocations_that_were_not_taken() {
        let inbox = Inbox::default();
        let mut reply = inbox.revoke(vec![partition(0)]).unwrap();
        inbox.close();
        assert_eq!(reply.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(inbox.revoke(vec![partition(1)]).is_none());
    }
}
