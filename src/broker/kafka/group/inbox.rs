//! Between the member's thread, which polls librdkafka, and `Member::next`: events first, then records, bounded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::broker::kafka::size;
use crate::broker::{BrokerError, Delivery, MemberEvent, Position, Revocation, TopicPartition};

const FULL_RECORDS: usize = 1_000;
const FULL_BYTES: usize = 8 << 20;

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
    /// Ends that were reached, each told once the records before it are: how many of `records` those are.
    passed: VecDeque<(usize, Position)>,
    bytes: usize,
    closed: bool,
}

impl Inbox {
    /// Cancel safe: what is taken is returned without another wait.
    pub async fn next(&self, limit: usize) -> MemberEvent {
        loop {
            let arrived = self.arrived.notified();
            if let Some(event) = self.state().take(limit) {
                return event;
            }
            arrived.await;
        }
    }

    /// Whether the partition is to be paused: there is no room for more. Nobody is told before `wake`.
    pub fn offer(&self, delivery: Delivery) -> bool {
        let mut state = self.state();
        state.bytes += memory(&delivery);
        state.records.push_back(delivery);
        state.records.len() >= FULL_RECORDS || state.bytes >= FULL_BYTES
    }

    /// Everything below this was offered; told after it, when `wake` is called.
    pub fn passed(&self, end: Position) {
        let mut state = self.state();
        let before = state.records.len();
        state.passed.retain(|(_, other)| other.topic_partition() != end.topic_partition());
        state.passed.push_back((before, end));
    }

    /// Tells of the records that were offered, if there are any.
    pub fn wake(&self) {
        let state = self.state();
        if !state.records.is_empty() || !state.passed.is_empty() {
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Not before half of it is free: each pause makes librdkafka fetch again what it had fetched ahead.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        state.records.len() < FULL_RECORDS / 2 && state.bytes < FULL_BYTES / 2
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

    /// Forgets the partitions' records that were not asked for yet. `None` when nobody is there to reply.
    pub fn revoke(&self, partitions: Vec<TopicPartition>) -> Option<oneshot::Receiver<Vec<Position>>> {
        let mut state = self.state();
        // Those of other partitions are told later than they could be: all that is left comes first.
        state.records.retain(|delivery| !partitions.contains(&delivery.position.topic_partition()));
        let left = state.records.len();
        state.passed.retain(|(_, end)| !partitions.contains(&end.topic_partition()));
        state.passed.iter_mut().for_each(|(before, _)| *before = left);
        state.bytes = state.records.iter().map(memory).sum();
        if state.closed {
            return None;
        }
        let (reply, offsets) = oneshot::channel();
        state.events.push_back(MemberEvent::Revoked(Revocation { partitions, reply }));
        drop(state);
        self.arrived.notify_one();
        Some(offsets)
    }

    /// A trouble that nobody has heard of yet gives way to a newer one, so they don't pile up; but what an operator
    /// must change doesn't give way to an outage, which may come of it.
    pub fn trouble(&self, error: BrokerError) {
        let mut state = self.state();
        let says_more =
            |event: &MemberEvent| matches!(event, MemberEvent::Trouble(BrokerError::Configuration(_)));
        if matches!(error, BrokerError::Unavailable(_)) && state.events.iter().any(says_more) {
            return;
        }
        state.events.retain(|event| !matches!(event, MemberEvent::Trouble(_)));
        state.events.push_back(MemberEvent::Trouble(error));
        drop(state);
        self.arrived.notify_one();
    }

    /// Nobody asks for events any more. Revocations not taken yet are thereby replied to.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.events.clear();
        state.records.clear();
        state.passed.clear();
    }

    /// Tells whether the member has been left or dropped.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, limit: usize) -> Option<MemberEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if limit > 0 && self.passed.front().is_some_and(|(before, _)| *before == 0) {
            return self.passed.pop_front().map(|(_, end)| MemberEvent::Passed(end));
        }
        let count = limit.min(self.records.len());
        if count == 0 {
            return None;
        }
        let records: Vec<Delivery> = self.records.drain(..count).collect();
        self.bytes -= records.iter().map(memory).sum::<usize>();
        self.passed.iter_mut().for_each(|(before, _)| *before = before.saturating_sub(count));
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
            inbox.offer(delivery(0, offset));
            inbox.offer(delivery(1, offset));
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
    fn an_end_is_told_after_the_records_before_it() {
        let inbox = Inbox::default();
        inbox.offer(delivery(0, 0));
        inbox.passed(delivery(0, 3).position);
        inbox.offer(delivery(0, 3));
        inbox.passed(delivery(1, 9).position);
        assert_eq!(offsets(inbox.next(1).now_or_never()), [(0, 0)]);
        let mut ends = Vec::new();
        for _ in 0..3 {
            match inbox.next(9).now_or_never() {
                Some(MemberEvent::Passed(end)) => ends.push((end.partition, end.offset)),
                records => assert_eq!(offsets(records), [(0, 3)]),
            }
        }
        assert_eq!(ends, [(0, 3), (1, 9)]);
    }

    #[test]
    fn with_limit_0_only_events_come() {
        let inbox = Inbox::default();
        inbox.offer(delivery(0, 0));
        assert!(inbox.next(0).now_or_never().is_none());
        inbox.assigned(vec![partition(1)]);
        assert!(matches!(inbox.next(0).now_or_never(), Some(MemberEvent::Assigned(_))));
    }

    #[test]
    fn it_says_when_it_is_full_and_has_room_again_when_half_is_taken() {
        let inbox = Inbox::default();
        let mut offset = 0;
        while !inbox.offer(delivery(0, offset)) {
            offset += 1;
        }
        assert_eq!(offset + 1, i64::try_from(FULL_RECORDS).unwrap());
        assert!(!inbox.has_room());
        inbox.next(FULL_RECORDS / 2).now_or_never().unwrap();
        assert!(!inbox.has_room());
        inbox.next(1).now_or_never().unwrap();
        assert!(inbox.has_room());
    }

    #[test]
    fn an_outage_does_not_hide_what_is_to_be_changed() {
        let inbox = Inbox::default();
        inbox.trouble(BrokerError::Unavailable("away".to_owned()));
        inbox.trouble(BrokerError::Configuration("wrong password".to_owned()));
        inbox.trouble(BrokerError::Unavailable("all away".to_owned()));
        let said = inbox.next(0).now_or_never();
        assert!(matches!(said, Some(MemberEvent::Trouble(BrokerError::Configuration(_)))), "{said:?}");
        assert!(inbox.next(0).now_or_never().is_none());
    }

    #[test]
    fn closing_replies_to_revocations_that_nobody_took() {
        let inbox = Inbox::default();
        let mut reply = inbox.revoke(vec![partition(0)]).unwrap();
        inbox.close();
        assert_eq!(reply.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(inbox.revoke(vec![partition(1)]).is_none());
    }
}
