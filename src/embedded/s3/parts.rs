//! Parts in the directory of an upload. Each is a file of its own, or lies in its slot of the file that becomes the
//! object. All functions block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use s3s::dto::Timestamp;

use super::dir_entries::dir_entries;
use super::files::{Files, Place, Staged};
use super::put::{Received, append};
use super::slots::{Reservation, Slot};
use crate::embedded::access;

/// Minimum size of every part but the last.
pub(super) const MIN_PART_SIZE: u64 = 5 << 20;
/// Maximum size of an object, as in S3.
const MAX_OBJECT_SIZE: u64 = 5 << 40;
/// Prefix of the name of the file with the slots; their size follows.
const SLOTS_PREFIX: &str = "slots-";

/// Stored part. Number and tag are in its file's name: `{number}-{tag}`. That of a part in a slot is empty, and has the
/// part's size in its name, too: `{number}-{tag}.{size}`.
pub(super) struct StoredPart {
    pub number: i32,
    pub tag: String,
    path: PathBuf,
    size_in_slot: Option<u64>,
}

impl StoredPart {
    fn of(path: PathBuf) -> Option<Self> {
        let (number, rest) = path.file_name()?.to_str()?.split_once('-')?;
        let number = number.parse().ok()?;
        let (tag, size) = match rest.split_once('.') {
            Some((tag, size)) => (tag, Some(size.parse().ok()?)),
            None => (rest, None),
        };
        let tag = tag.to_owned();
        Some(Self { number, tag, path, size_in_slot: size })
    }

    /// Returns the number of the part's bytes.
    pub fn size(&self) -> io::Result<u64> {
        self.size_in_slot.map_or_else(|| Ok(fs::metadata(&self.path)?.len()), Ok)
    }

    /// Returns the time at which the part was stored.
    pub fn modified(&self) -> io::Result<Timestamp> {
        Ok(Timestamp::from(fs::metadata(&self.path)?.modified()?))
    }
}

/// File with the slots of an upload's parts. All have the size of the first large part that was sent.
struct SlotsFile {
    path: PathBuf,
    slot_size: u64,
}

impl SlotsFile {
    fn of(path: &Path) -> Option<Self> {
        let slot_size = path.file_name()?.to_str()?.strip_prefix(SLOTS_PREFIX)?.parse().ok()?;
        Some(Self { path: path.to_owned(), slot_size })
    }

    fn make(dir: &Path, slot_size: u64) -> io::Result<Self> {
        let path = dir.join(format!("{SLOTS_PREFIX}{slot_size}"));
        OpenOptions::new().write(true).create_new(true).mode(access::FILE).open(&path)?;
        Ok(Self { path, slot_size })
    }

    /// Returns where the slot of a part begins; `None` beyond the end of any object.
    fn start(&self, number: i32) -> Option<u64> {
        let start = u64::try_from(number).ok()?.checked_sub(1)?.checked_mul(self.slot_size)?;
        (start <= MAX_OBJECT_SIZE).then_some(start)
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.path)
    }
}

/// Parts of an upload, sorted by number.
pub(super) struct Parts {
    pub stored: Vec<StoredPart>,
    slots: Option<SlotsFile>,
}

impl Parts {
    /// Reads the directory of an upload.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let (mut stored, mut slots) = (Vec::new(), None);
        for path in dir_entries(dir)? {
            slots = slots.or_else(|| SlotsFile::of(&path));
            stored.extend(StoredPart::of(path));
        }
        stored.sort_by(|a, b| (a.number, &a.tag).cmp(&(b.number, &b.tag)));
        Ok(Self { stored, slots })
    }

    /// Tells whether the file with the slots is gone: it has become the object, and only what is left of the upload could
    /// not be removed.
    pub fn are_object(&self) -> bool {
        self.slots.is_none() && self.stored.iter().any(|part| part.size_in_slot.is_some())
    }
}

/// Opens the slot of a part of this size; `None` when the part must be a file of its own: it is small, larger than the
/// slots, or sent again.
pub(super) fn open_slot(files: &Files, dir: &Path, number: i32, size: u64) -> io::Result<Option<Staged>> {
    let Some(reservation) = files.slots.reserve(dir, number) else { return Ok(None) };
    // Held so that two first parts don't make two files.
    let _held = files.lock(dir);
    let parts = Parts::read(dir)?;
    // What the store has acknowledged is never overwritten.
    if parts.are_object() || parts.stored.iter().any(|part| part.number == number) {
        return Ok(None);
    }
    let slots = match parts.slots {
        None if size >= MIN_PART_SIZE => SlotsFile::make(dir, size)?,
        Some(slots) if size <= slots.slot_size => slots,
        None | Some(_) => return Ok(None),
    };
    let Some(start) = slots.start(number) else { return Ok(None) };
    let mut file = slots.open()?;
    file.seek(SeekFrom::Start(start))?;
    let slot = Slot::new(file.try_clone()?, start..start + size, reservation);
    Ok(Some(Staged::in_place(file, slots.path, Place::Slot(slot))))
}

/// Stores a received part; one that was sent before is replaced.
pub(super) fn store(files: &Files, dir: &Path, number: i32, received: Received) -> io::Result<()> {
    let Received { staged, tag, size, .. } = received;
    let mut path = dir.join(format!("{number:05}-{tag}"));
    if let Staged { file, place: Place::Slot(mut slot), .. } = staged {
        path.as_mut_os_string().push(format!(".{size}"));
        // The bytes first: a durable name must never lead to missing bytes.
        files.sync_file(&file)?;
        OpenOptions::new().write(true).create(true).truncate(true).mode(access::FILE).open(&path)?;
        slot.keep();
        files.sync_dirs([dir.to_owned()])?;
    } else {
        files.name_file(staged, &path)?;
    }
    // After the new part is durable: a crash in between leaves both, and the client names one by its tag.
    for other in Parts::read(dir)?.stored {
        if other.number == number && other.path != path {
            fs::remove_file(other.path)?;
        }
    }
    Ok(())
}

/// Joins parts to one file. Where they lie in their slots one after the other, that file is it; otherwise they are
/// copied. `reservation` is that of the whole file, if no slot is being written.
pub(super) fn join(
    files: &Files,
    parts: &Parts,
    chosen: &[StoredPart],
    reservation: Option<Reservation>,
) -> io::Result<Staged> {
    let (in_place, end) = parts.slots.as_ref().map_or(Ok((0, 0)), |slots| in_place(slots, chosen))?;
    // Parts in other slots would be lost, and the upload must stay as it is until the object has its name.
    let has_others = parts.stored.iter().any(|part| part.size_in_slot.is_some())
        || chosen[in_place..].iter().any(|part| part.size_in_slot.is_some());
    let (mut staged, rest) = match (&parts.slots, reservation) {
        (Some(slots), Some(reservation)) if in_place > 0 && !has_others => {
            let mut file = slots.open()?;
            // A try that was interrupted may have left more.
            file.set_len(end)?;
            file.seek(SeekFrom::End(0))?;
            let place = Place::Slots { _reservation: reservation };
            (Staged::in_place(file, slots.path.clone(), place), &chosen[in_place..])
        }
        _ => (files.stage()?, chosen),
    };
    let appended = append_parts(&mut staged, rest, parts.slots.as_ref());
    if appended.is_err() && matches!(staged.place, Place::Slots { .. }) {
        // What found no space must not take any.
        staged.file.set_len(end)?;
    }
    appended.map(|()| staged)
}

fn append_parts(staged: &mut Staged, chosen: &[StoredPart], slots: Option<&SlotsFile>) -> io::Result<()> {
    for part in chosen {
        let size = part.size()?;
        match (part.size_in_slot, slots) {
            (Some(_), Some(slots)) => {
                let start = slots.start(part.number).ok_or(io::ErrorKind::UnexpectedEof)?;
                append(staged, &slots.open()?, start, size)?;
            }
            _ => append(staged, &File::open(&part.path)?, 0, size)?,
        }
    }
    Ok(())
}

/// Returns how many of the first parts lie in their slots without a gap, and where the last of them ends.
fn in_place(slots: &SlotsFile, chosen: &[StoredPart]) -> io::Result<(usize, u64)> {
    let (mut count, mut end) = (0, 0);
    for part in chosen {
        if part.size_in_slot.is_none() || slots.start(part.number) != Some(end) {
            break;
        }
        count += 1;
        end += part.size()?;
    }
    Ok((count, end))
}
