//! Memory that what clients send and what they are sent may take, for all connections of the process together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all half-received requests may take beyond the first few kilobytes of each. Small requests are answered
/// even when clients with large ones have taken all of it.
pub(super) const INPUT_LIMIT: usize = 16 << 20;
/// Bytes of large answers that clients have not read yet.
pub(super) const OUTPUT_LIMIT: usize = 32 << 20;

/// Counter of the bytes taken. A plain atomic: it is asked for large bodies and answers only.
#[derive(Debug)]
pub(super) struct Budget {
    taken: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub const fn new(limit: usize) -> Self {
        Self { taken: AtomicUsize::new(0), limit }
    }

    /// False when the limit would be exceeded; then nothing is taken.
    pub fn take(&self, bytes: usize) -> bool {
        let added = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    pub fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Less than a quarter is left.
    pub fn is_short(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > self.limit / 4 * 3
    }
}

/// Bytes taken of a budget, given back when dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// `None` when the limit would be exceeded.
    pub fn take(budget: &Arc<Budget>, bytes: usize) -> Option<Self> {
        budget.take(bytes).then(|| Self { budget: Arc::clone(budget), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let budget = Budget::new(1000);
        assert!(budget.take(700) && !budget.is_short());
        assert!(budget.take(300) && budget.is_short());
        assert!(!budget.take(1) && !budget.take(usize::MAX));
        budget.give_back(1);
        assert!(budget.take(1) && !budget.take(1));
    }

    #[test]
    fn a_share_is_given_back_when_its_answer_is_gone() {
        let budget = Arc::new(Budget::new(10));
        let share = Share::take(&budget, 10);
        assert!(share.is_some() && Share::take(&budget, 1).is_none());
        drop(share);
        assert!(budget.take(10));
    }
}
