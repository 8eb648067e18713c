//! The contiguous low watermark of one partition: everything below it is settled.

use std::collections::BTreeSet;

/// Offsets may end in any order; gaps in the log (compaction, control records) are no obstacle.
#[derive(Debug)]
pub(super) struct Watermark {
    open: BTreeSet<i64>,
    next_unread: i64,
    /// Below this nothing needs to be committed any more.
    committed: i64,
}

impl Watermark {
    /// `first` is the first offset that was delivered.
    pub(super) fn starting_at(first: i64) -> Self {
        Self { open: BTreeSet::new(), next_unread: first, committed: first }
    }

    /// An offset below what was committed belongs to a log that was made anew: everything begins again.
    pub(super) fn begin(&mut self, offset: i64) {
        if offset < self.committed {
            *self = Self::starting_at(offset);
        }
        self.open.insert(offset);
        self.next_unread = self.next_unread.max(offset + 1);
    }

    pub(super) fn finish(&mut self, offset: i64) {
        self.open.remove(&offset);
    }

    /// There is nothing to do below `next`, but for what is open.
    pub(super) fn pass(&mut self, next: i64) {
        self.next_unread = self.next_unread.max(next);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The next offset to consume, unless that is committed already.
    pub(super) fn to_commit(&self) -> Option<i64> {
        let next = self.open.first().copied().unwrap_or(self.next_unread);
        (next > self.committed).then_some(next)
    }

    pub(super) fn committed(&mut self, next: i64) {
        self.committed = self.committed.max(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_offset_holds_back_everything_behind_it() {
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
    fn what_holds_no_records_is_passed_once_all_before_it_is_settled() {
        let mut mark = Watermark::starting_at(10);
        mark.begin(10);
        mark.pass(12);
        assert_eq!(mark.to_commit(), None);
        mark.finish(10);
        assert_eq!(mark.to_commit(), Some(12));
        mark.pass(11);
        assert_eq!(mark.to_commit(), Some(12));
    }

    #[test]
    fn a_log_made_anew_is_committed_from_its_beginning() {
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
        fn nothing_unsettled_is_ever_below_the_committed_offset(order in Just((0..40_i64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut mark = Watermark::starting_at(0);
            (0..40).for_each(|offset| mark.begin(offset));
            let mut settled = BTreeSet::new();
            for offset in order {
                mark.finish(offset);
                settled.insert(offset);
                if let Some(next) = mark.to_commit() {
                    prop_assert!((0..next).all(|below| settled.contains(&below)));
                    mark.committed(next);
                }
            }
            prop_assert_eq!(mark.committed, 40);
        }
    }
}
