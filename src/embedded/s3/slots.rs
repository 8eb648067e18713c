//! Slots of parts in the file that becomes the object. A part that is written to its slot is where it belongs, so
//! completing the upload copies nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc::off_t;

/// Number that stands for the whole file.
const WHOLE_FILE: i32 = 0;

/// Slots that are being written, by the upload's directory and the part's number.
#[derive(Debug, Default)]
pub(super) struct Slots {
    in_use: Arc<InUse>,
}

type InUse = Mutex<BTreeSet<(PathBuf, i32)>>;

/// Exclusive use of a slot, or of a whole file, until it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    in_use: Arc<InUse>,
    place: (PathBuf, i32),
}

/// Slot that is being written. Dropping it frees what was written, unless the part was stored: a part that found no
/// space, or was cut off, must not take any.
pub(super) struct Slot {
    file: File,
    range: Range<u64>,
    is_stored: bool,
    _reservation: Reservation,
}

impl Slot {
    /// Makes the slot of a part in this range of the file.
    pub fn new(file: File, range: Range<u64>, reservation: Reservation) -> Self {
        Self { file, range, is_stored: false, _reservation: reservation }
    }

    /// Notes that the part was stored, and its bytes stay.
    pub fn keep(&mut self) {
        self.is_stored = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Range { start, end } = self.range;
        if let (false, Ok(start), Ok(size)) =
            (self.is_stored, off_t::try_from(start), off_t::try_from(end - start))
        {
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // Some file systems can't; then the space is free once the upload ends.
            let _ = fallocate(&self.file, hole, start, size);
        }
    }
}

impl Slots {
    /// Reserves the slot of a part; `None` while it is being written, or the file is being completed.
    pub fn reserve(&self, dir: &Path, number: i32) -> Option<Reservation> {
        self.reserve_unless(dir, number, |in_use| {
            in_use.contains(&(dir.to_owned(), WHOLE_FILE)) || in_use.contains(&(dir.to_owned(), number))
        })
    }

    /// Reserves the whole file; `None` while any of its slots is being written.
    pub fn reserve_file(&self, dir: &Path) -> Option<Reservation> {
        self.reserve_unless(dir, WHOLE_FILE, |in_use| {
            in_use.range((dir.to_owned(), WHOLE_FILE)..=(dir.to_owned(), i32::MAX)).next().is_some()
        })
    }

    fn reserve_unless(
        &self,
        dir: &Path,
        number: i32,
        is_taken: impl FnOnce(&BTreeSet<(PathBuf, i32)>) -> bool,
    ) -> Option<Reservation> {
        let mut in_use = lock(&self.in_use);
        if is_taken(&in_use) {
            return None;
        }
        let place = (dir.to_owned(), number);
        in_use.insert(place.clone());
        Some(Reservation { in_use: Arc::clone(&self.in_use), place })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        lock(&self.in_use).remove(&self.place);
    }
}

fn lock(in_use: &InUse) -> MutexGuard<'_, BTreeSet<(PathBuf, i32)>> {
    in_use.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_writer_and_none_while_its_file_is_completed() {
        let (slots, dir) = (Slots::default(), Path::new("a"));
        let first = slots.reserve(dir, 1).unwrap();
        assert!(slots.reserve(dir, 1).is_none() && slots.reserve_file(dir).is_none());
        assert!(slots.reserve(dir, 2).is_some() && slots.reserve_file(Path::new("b")).is_some());
        drop(first);
        let whole = slots.reserve_file(dir).unwrap();
        assert!(slots.reserve(dir, 1).is_none() && slots.reserve_file(dir).is_none());
        drop(whole);
        assert!(slots.reserve(dir, 1).is_some());
    }
}
