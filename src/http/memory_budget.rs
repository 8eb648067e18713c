//! Limits of the memory that requests and answers of all connections of the process take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of requests that are still arriving, beyond the first few kilobytes of each: small requests are answered even
/// when clients with large ones have reserved all of it.
pub(super) const REQUEST_MEMORY: usize = 16 << 20;
/// Bytes of large answers that clients have not read yet.
pub(super) const RESPONSE_MEMORY: usize = 32 << 20;

/// Bytes reserved of a fixed number. A plain counter suffices: only large bodies and answers reserve anything.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    reserved: AtomicUsize,
    limit: usize,
}

impl MemoryBudget {
    pub const fn new(limit: usize) -> Self {
        Self { reserved: AtomicUsize::new(0), limit }
    }

    /// Reserves bytes until [`release`](Self::release). Returns false, and reserves nothing, when they would exceed the limit.
    pub fn try_reserve(&self, bytes: usize) -> bool {
        let within_limit = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.limit);
        // Relaxed suffices: the counter protects no other memory.
        self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within_limit).is_ok()
    }

    pub fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.reserved.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Tells whether less than a quarter is left.
    pub fn is_nearly_exhausted(&self) -> bool {
        self.reserved.load(Ordering::Relaxed) > self.limit / 4 * 3
    }
}

/// Reserved bytes that are released when this is dropped.
pub(super) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    /// Returns `None` when the bytes would exceed the limit.
    pub fn try_new(budget: &Arc<MemoryBudget>, bytes: usize) -> Option<Self> {
        budget.try_reserve(bytes).then(|| Self { budget: Arc::clone(budget), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_reserved_and_released_bytes_can_be_reserved_again() {
        let budget = MemoryBudget::new(1000);
        assert!(budget.try_reserve(700) && !budget.is_nearly_exhausted());
        assert!(budget.try_reserve(300) && budget.is_nearly_exhausted());
        assert!(!budget.try_reserve(1) && !budget.try_reserve(usize::MAX));
        budget.release(1);
        assert!(budget.try_reserve(1) && !budget.try_reserve(1));
    }

    #[test]
    fn a_reservation_ends_when_it_is_dropped() {
        let budget = Arc::new(MemoryBudget::new(10));
        let reservation = Reservation::try_new(&budget, 10);
        assert!(reservation.is_some() && Reservation::try_new(&budget, 1).is_none());
        drop(reservation);
        assert!(budget.try_reserve(10));
    }
}
