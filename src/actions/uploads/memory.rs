//! Memory of uploads: the bytes of all parts that are filled or on their way to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PART_BYTES;
use crate::domain::{Error, ErrorCode, Result};

/// Bytes that all uploads of a process may hold together, besides one part.
const SHARED_BYTES: usize = 32 << 20;
/// Bytes of one permit.
const UNIT: usize = 64 << 10;
/// Time that an upload waits for memory. Its client is not read meanwhile.
const WAIT: Duration = Duration::from_mins(1);

/// Memory that uploads share. Parts take it as their bytes arrive, so that slow clients hold no more than they have sent. When
/// it is used up, one upload at a time may fill its part all the same: otherwise all could wait for each other.
#[derive(Debug)]
pub(crate) struct UploadMemory {
    shared: Arc<Semaphore>,
    extra_part: Arc<Semaphore>,
}

impl Default for UploadMemory {
    fn default() -> Self {
        Self {
            shared: Arc::new(Semaphore::new(SHARED_BYTES / UNIT)),
            extra_part: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Memory of one part; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    permits: Option<OwnedSemaphorePermit>,
    units: usize,
    extra_part: Option<OwnedSemaphorePermit>,
}

impl UploadMemory {
    /// Makes room for `bytes` in all. Waits for other uploads when there is none; `Overloaded` when that takes too long.
    pub(super) async fn grow(&self, reservation: &mut Reservation, bytes: usize) -> Result<()> {
        let missing = bytes.div_ceil(UNIT).saturating_sub(reservation.units);
        if missing == 0 || reservation.extra_part.is_some() {
            return Ok(());
        }
        let wanted = u32::try_from(missing).unwrap_or(u32::MAX);
        let closed = |_| Error::internal("the memory of uploads is closed");
        let waiting = async {
            tokio::select! {
                // The one that frees a whole part comes last: it is for those that would wait otherwise.
                biased;
                permits = Arc::clone(&self.shared).acquire_many_owned(wanted) => {
                    let permits = permits.map_err(closed)?;
                    match &mut reservation.permits {
                        Some(held) => held.merge(permits),
                        none => *none = Some(permits),
                    }
                    reservation.units += missing;
                }
                extra = Arc::clone(&self.extra_part).acquire_owned() => {
                    reservation.extra_part = Some(extra.map_err(closed)?);
                }
            }
            Ok(())
        };
        tokio::time::timeout(WAIT, waiting).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Overloaded, "too many uploads are arriving at once; try again shortly"))
        })
    }
}

const _: () = assert!(SHARED_BYTES >= PART_BYTES, "at least one part fits");

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_upload_goes_on_when_all_memory_is_taken_and_the_next_one_waits_for_it() {
        let memory = UploadMemory::default();
        let mut parts: Vec<Reservation> =
            (0..SHARED_BYTES / PART_BYTES).map(|_| Reservation::default()).collect();
        for part in &mut parts {
            memory.grow(part, PART_BYTES).await.unwrap();
        }
        let (mut first, mut second) = (Reservation::default(), Reservation::default());
        memory.grow(&mut first, 1).await.unwrap();
        memory.grow(&mut first, PART_BYTES).await.unwrap();
        assert!(memory.grow(&mut second, 1).now_or_never().is_none());
        drop(first);
        memory.grow(&mut second, PART_BYTES).await.unwrap();
        drop((parts, second));
        assert_eq!(memory.shared.available_permits() * UNIT, SHARED_BYTES);
    }

    #[tokio::test]
    async fn a_part_takes_as_much_as_has_arrived() {
        let memory = UploadMemory::default();
        let mut part = Reservation::default();
        for (bytes, units) in [(0, 0), (1, 1), (UNIT, 1), (UNIT + 1, 2), (10, 2)] {
            memory.grow(&mut part, bytes).await.unwrap();
            assert_eq!(SHARED_BYTES / UNIT - memory.shared.available_permits(), units, "{bytes}");
        }
    }
}
