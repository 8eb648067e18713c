//! The contiguous low watermark of one partition: every record below it is finished.

use std::collections::BTreeSet;

/// Low watermark of a partition. Offsets may finish in any order; gaps in the log (compaction, control records) don't
/// stop it.
#[derive(Debug)]
pub(super) struct Watermark {
    /// Offsets in flight.
    in_flight: BTreeSet<i64>,
    next_unread: i64,
    /// Highest next offset that is known to be committed.
    committed: i64,
}

impl Watermark {
    /// Makes a watermark; `first` is the first offset that was delivered.
    pub(super) fn starting_at(first: i64) -> Self {
        Self { in_flight: BTreeSet::new(), next_unread: first, committed: first }
    }

    /// Notes an offset as in flight.
    pub(super) fn begin(&mut self, offset: i64) {
        // Kafka never goes back below a commit: the topic was recreated, and its offsets begin again.
        if offset < self.committed {
            *self = Self::starting_at(offset);
        }
        self.in_flight.insert(offset);
        self.next_unread = self.next_unread.max(offset + 1);
    }

    /// Notes an offset as finished: handled or dead-lettered.
    pub(super) fn finish(&mut self, offset: i64) {
        self.in_flight.remove(&offset);
    }

    /// Notes that below `next` nothing is left to read; what is in flight still holds the watermark back.
    pub(super) fn skip_to(&mut self, next: i64) {
        self.next_unread = self.next_unread.max(next);
    }

    /// Tells whether nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Returns the next offset to consume, unless it is committed already.
    pub(super) fn to_commit(&self) -> Option<i64> {
        let next = self.in_flight.first().copied().unwrap_or(self.next_unread);
        (next > self.committed).then_some(next)
    }

    /// Notes that the group's coordinator has stored this next offset.
    pub(super) fn committed(&mut self, next: i64) {
        self.committed = self.committed.max(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offset_in_flight_holds_back_everything_behind_it() {
        let mut mark = Watermark::starting_at(10);
        for offset in [10, 11, 15] {
            mark.begin(offset);
        }
        mark.finish(11);
        mark.finish(15);
        assert_eq!(mark.to_commit(), None);
        mark.finish(10);
        assert_eq!(mark.to_commit(), Some(16));
        mark.committed(16);
        assert_eq!(mark.to_commit(), None);
        assert!(mark.is_idle());
    }

    #[test]
    fn a_gap_is_skipped_once_all_before_it_is_finished() {
        let mut mark = Watermark::starting_at(10);
        mark.begin(10);
        mark.skip_to(12);
        assert_eq!(mark.to_commit(), None);
        mark.finish(10);
        assert_eq!(mark.to_commit(), Some(12));
        mark.skip_to(11);
        assert_eq!(mark.to_commit(), Some(12));
    }

    #[test]
    fn a_recreated_topic_is_committed_from_its_beginning() {
        let mut mark = Watermark::starting_at(10);
        mark.begin(10);
        mark.finish(10);
        mark.committed(11);
        mark.begin(0);
        assert_eq!(mark.to_commit(), None);
        mark.finish(0);
        assert_eq!(mark.to_commit(), Some(1));
    }

    proptest! {
        #[test]
        fn nothing_unfinished_is_ever_below_the_committed_offset(order in Just((0..40_i64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut mark = Watermark::starting_at(0);
            (0..40).for_each(|offset| mark.begin(offset));
            let mut finished = BTreeSet::new();
            for offset in order {
                mark.finish(offset);
                finished.insert(offset);
                if let Some(next) = mark.to_commit() {
                    prop_assert!((0..next).all(|below| finished.contains(&below)));
                    mark.committed(next);
                }
            }
            prop_assert_eq!(mark.committed, 40);
        }
    }
}
