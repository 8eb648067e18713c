//! Capacity that a batch holds while it is processed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits;
use crate::broker::Delivery;

/// Memory bound of one member's parked batches. They hold no permit for work, so only this limits how many there are.
#[derive(Debug, Clone)]
pub(super) struct ParkingSpace(Arc<Semaphore>);

impl Default for ParkingSpace {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::PARKED_KIB)))
    }
}

/// Context of a batch that a handler is given, besides the records.
#[derive(Debug)]
pub struct BatchContext {
    /// True if every record of the batch was handled before and failed.
    pub is_retry: bool,
    /// Permit for work; once the batch is parked, the memory that it takes of the parking space.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    parking: ParkingSpace,
    kib: u32,
}

impl BatchContext {
    pub(super) fn new(
        permit: Option<OwnedSemaphorePermit>,
        parking: ParkingSpace,
        batch: &[Delivery],
    ) -> Self {
        let bytes = |delivery: &Delivery| delivery.record.value.as_ref().map_or(0, bytes::Bytes::len);
        let kib: usize =
            batch.iter().map(|delivery| bytes(delivery) / 1024 + limits::RECORD_OVERHEAD_KIB).sum();
        Self {
            is_retry: false,
            permit: Mutex::new(permit),
            parking,
            // A batch above the bound takes all of it: more permits than there are could never be acquired.
            kib: u32::try_from(kib.min(limits::PARKED_KIB)).unwrap_or(u32::MAX),
        }
    }

    /// Releases the batch's permit for work to another batch, as soon as the parking space has memory left for this
    /// one. To be called by a batch that from now on only waits, for something that other batches don't need.
    pub async fn park(&self) {
        // The semaphore is never closed. Replacing the permit drops the one for work.
        if let Ok(memory) = Arc::clone(&self.parking.0).acquire_many_owned(self.kib).await {
            *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        }
    }
}
