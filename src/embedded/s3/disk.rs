//! State of the disk: failures become responses, and each outage is logged once.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use nix::sys::statvfs::statvfs;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::telemetry::Outage;

/// Minimum time between two probes of the disk.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum of bytes that must be free again after a failure.
const MIN_NEEDED_BYTES: u64 = 4 << 10;
/// Maximum of bytes that must be free: an object of any size that found no room must not keep smaller ones from being
/// stored.
const MAX_NEEDED_BYTES: u64 = 16 << 20;

/// State of the store's disk.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    broken: Outage,
    full: Outage,
    /// Bytes that must be free before the disk counts as usable; 0 when it is not full. What was half written when it
    /// filled up is removed, so there is always room for something small.
    needed: AtomicU64,
    /// Time of the last probe, and why it failed.
    probed: Mutex<Option<(Instant, Option<io::ErrorKind>)>>,
}

impl Disk {
    /// Makes the state of a disk that works.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            broken: Outage::new(
                "the embedded object store can't use its disk",
                "the embedded object store's disk recovered",
            ),
            full: Outage::new(
                "the embedded object store has no space left on its disk",
                "the embedded object store has space on its disk again",
            ),
            needed: AtomicU64::default(),
            probed: Mutex::default(),
        }
    }

    /// Tells whether the disk counts as full.
    pub fn is_full(&self) -> bool {
        self.needed.load(Ordering::Relaxed) > 0
    }

    /// Records the outcome in the disk's state and turns an error into an answer.
    /// `size` is that of the object, if one was to be stored.
    pub fn record<T>(&self, outcome: io::Result<T>, size: u64) -> S3Result<T> {
        match outcome {
            Ok(value) => {
                self.broken.works();
                Ok(value)
            }
            Err(error) => Err(self.failed(&error, size)),
        }
    }

    /// Probes the disk: it takes a block, by `write`, and has the room that was missing.
    pub fn probe(&self, write: impl FnOnce() -> io::Result<()>) -> S3Result<()> {
        // Held during the probe, so that concurrent health checks write one block.
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, failed)) = *probed
            && at.elapsed() < PROBE_INTERVAL
        {
            return failed.map_or(Ok(()), |kind| Err(self.failed(&kind.into(), 0)));
        }
        let tried = write().and_then(|()| self.has_room());
        *probed = Some((Instant::now(), tried.as_ref().err().map(io::Error::kind)));
        if tried.is_ok() {
            self.needed.store(0, Ordering::Relaxed);
            self.full.works();
        }
        self.record(tried, 0)
    }

    fn has_room(&self) -> io::Result<()> {
        let needed = self.needed.load(Ordering::Relaxed);
        if needed == 0 {
            return Ok(());
        }
        let disk = statvfs(&self.root)?;
        let available = disk.blocks_available().saturating_mul(disk.fragment_size());
        if available >= needed { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn failed(&self, error: &io::Error, size: u64) -> S3Error {
        let text = format!("{}: {error}", self.root.display());
        if error.kind() == io::ErrorKind::InvalidData {
            log::error!(error = text; "an object in the embedded store is damaged");
            return S3Error::with_message(S3ErrorCode::InternalError, "the object is damaged");
        }
        if !is_full(error) {
            self.broken.fails(text);
            return S3Error::with_message(S3ErrorCode::ServiceUnavailable, "the disk can't be used");
        }
        // The largest object that failed counts: as long as it doesn't fit, the disk counts as full.
        self.needed.fetch_max(size.clamp(MIN_NEEDED_BYTES, MAX_NEEDED_BYTES), Ordering::Relaxed);
        self.full.fails(text);
        let code = S3ErrorCode::Custom("InsufficientStorage".into());
        let mut answer = S3Error::with_message(code, "no space is left for objects");
        answer.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
        answer
    }
}

/// Tells whether the disk, or our user's quota of it, is used up.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn a_full_disk_stays_full_until_there_is_the_room_that_was_missing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().to_owned());
        disk.probe(|| Ok(())).unwrap();
        assert!(!disk.is_full());
        assert_eq!(
            disk.record::<()>(Err(full()), 1).unwrap_err().status_code(),
            Some(StatusCode::INSUFFICIENT_STORAGE)
        );
        assert!(disk.is_full());
        // What is small, or only read, says nothing of it.
        disk.record(Ok(()), 0).unwrap();
        assert!(disk.is_full());
        disk.needed.store(u64::MAX, Ordering::Relaxed);
        disk.probed.lock().unwrap().take();
        disk.probe(|| Ok(())).unwrap_err();
        assert!(disk.is_full());
        disk.needed.store(MIN_NEEDED_BYTES, Ordering::Relaxed);
        disk.probe(|| unreachable!()).unwrap_err();
        disk.probed.lock().unwrap().take();
        disk.probe(|| Ok(())).unwrap();
        assert!(!disk.is_full());
        disk.record::<()>(Err(full()), u64::MAX).unwrap_err();
        assert_eq!(disk.needed.load(Ordering::Relaxed), MAX_NEEDED_BYTES);
    }

    #[test]
    fn other_failures_are_outages_too_but_for_a_damaged_object() {
        let disk = Disk::new(PathBuf::from("/"));
        let status = |kind: io::ErrorKind| disk.record::<()>(Err(kind.into()), 0).unwrap_err().status_code();
        assert_eq!(status(io::ErrorKind::PermissionDenied), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(status(io::ErrorKind::InvalidData), Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(!disk.is_full());
    }
}
