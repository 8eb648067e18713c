//! Memory that what clients send may take, for all connections of the process together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all half-received requests may take beyond the first few kilobytes of each. Small requests are answered
/// even when clients with large ones have taken all of it.
const INPUT_LIMIT: usize = 32 << 20;

/// Counter of the bytes taken. A plain atomic: it is asked for large bodies only.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// False when the limit would be exceeded; then nothing is taken.
    pub fn take(&self, bytes: usize) -> bool {
        let added = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= INPUT_LIMIT);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    pub fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let budget = Budget::default();
        assert!(budget.take(INPUT_LIMIT));
        assert!(!budget.take(1) && !budget.take(usize::MAX));
        budget.give_back(1);
        assert!(budget.take(1) && !budget.take(1));
    }
}
