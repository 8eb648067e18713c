//! A batch's place among those in flight.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::broker::Delivery;

/// Memory of the batches of one member that have stepped aside, in KiB.
const ASIDE_KIB: usize = 16 * 1024;
/// What a record takes besides its bytes.
const RECORD_KIB: usize = 4;

/// Room for batches that only wait: they have no slot, but their memory is bounded.
#[derive(Debug, Clone)]
pub(super) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ASIDE_KIB)))
    }
}

/// A batch at work: its slot, and whether it was handled before.
#[derive(Debug)]
pub struct Turn {
    /// Each of the records was handled before and failed.
    pub again: bool,
    held: Mutex<Option<OwnedSemaphorePermit>>,
    aside: Aside,
    kib: u32,
}

impl Turn {
    pub(super) fn new(slot: Option<OwnedSemaphorePermit>, aside: Aside, batch: &[Delivery]) -> Self {
        let bytes = |delivery: &Delivery| delivery.record.value.as_ref().map_or(0, bytes::Bytes::len);
        let kib: usize = batch.iter().map(|delivery| bytes(delivery) / 1024 + RECORD_KIB).sum();
        Self {
            again: false,
            held: Mutex::new(slot),
            aside,
            kib: u32::try_from(kib.min(ASIDE_KIB)).unwrap_or(u32::MAX),
        }
    }

    /// Gives the slot to another batch, as soon as there is room for this one beside them. For a batch that will only
    /// wait, for something that others don't need.
    pub async fn step_aside(&self) {
        // Closed never.
        if let Ok(room) = Arc::clone(&self.aside.0).acquire_many_owned(self.kib).await {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
        }
    }
}
