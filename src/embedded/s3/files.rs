//! Objects as files: written to a staged file, made durable, then given their name. All functions block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::dto::ETagCondition;
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::dir_entries::dir_entries;
use super::dir_sync::{self, DirSync};
use super::disk::Disk;
use super::layout::Layout;
use super::listing_query::ReadAhead;
use super::object::{Description, OpenObject};
use super::slots::{Reservation, Slot, Slots};
use super::{make_dir, old_layout};
use crate::embedded::{Durability, EmbeddedError, access};

/// Number of locks that are shared by all keys.
const LOCKS: usize = 64;
const PROBE_BLOCK: [u8; 4096] = [b'x'; 4096];

/// Files of the store.
#[derive(Debug)]
pub(super) struct Files {
    pub layout: Layout,
    /// Syncs of directories; only with full durability.
    dirs: Option<DirSync>,
    /// True while objects of older releases may be left.
    pub has_old_layout: AtomicBool,
    locks: [Mutex<()>; LOCKS],
    /// Slots of uploads in parts.
    pub slots: Slots,
    disk: Disk,
    staged: AtomicU64,
    arrived: AtomicU64,
    /// Number of times that objects were stored or removed.
    changes: AtomicU64,
    read_ahead: Mutex<Option<ReadAhead>>,
}

/// File that is being written.
pub(super) struct Staged {
    pub file: File,
    pub temp: StagedFile,
    pub place: Place,
}

/// Place of a file that is being written.
pub(super) enum Place {
    /// A file of its own.
    Staging,
    /// A slot of a file that stays.
    Slot(Slot),
    /// A whole file with slots, which stays until it is named.
    Slots { _reservation: Reservation },
}

/// Path of a staged file. Dropping it removes the file, unless it was given its name.
pub(super) struct StagedFile {
    path: PathBuf,
    is_named: bool,
}

impl StagedFile {
    /// Renames the file to the object's path, without a sync; makes the directory if it is missing.
    pub fn place(mut self, path: &Path) -> io::Result<()> {
        rename(&self.path, path)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Conditions under which an object is replaced.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

impl Staged {
    /// Makes a file that has a name already, and is written from its position on.
    pub fn in_place(file: File, path: PathBuf, place: Place) -> Self {
        Self { file, temp: StagedFile { path, is_named: true }, place }
    }

    /// Writes the description behind the bytes.
    pub fn describe(&mut self, description: &Description) -> io::Result<()> {
        self.file.write_all(&description.to_trailer()?)
    }
}

impl Files {
    /// Opens the store, and completes what a crash interrupted.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        let layout = Layout::open(root).map_err(EmbeddedError::io(root))?;
        recover_arrived(&layout).map_err(EmbeddedError::io(root))?;
        let has_old_layout = old_layout::prepare(&layout).map_err(EmbeddedError::io(root))?;
        if durability == Durability::Full {
            for dir in [root.to_owned(), layout.root().to_owned(), layout.buckets()] {
                dir_sync::sync(&dir).map_err(EmbeddedError::io(root))?;
            }
        }
        Ok(Self {
            disk: Disk::new(layout.root().to_owned()),
            layout,
            dirs: (durability == Durability::Full).then(DirSync::default),
            has_old_layout: AtomicBool::new(has_old_layout),
            locks: [const { Mutex::new(()) }; LOCKS],
            slots: Slots::default(),
            staged: AtomicU64::default(),
            arrived: AtomicU64::default(),
            changes: AtomicU64::default(),
            read_ahead: Mutex::default(),
        })
    }

    /// Checks that the bucket exists.
    pub fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if super::layout::is_bucket_name(bucket) && self.layout.bucket(bucket).is_dir() {
            return Ok(());
        }
        Err(S3Error::new(S3ErrorCode::NoSuchBucket))
    }

    /// Checks that an object with this key may be stored in the bucket.
    pub fn check_place(&self, bucket: &str, key: &str) -> S3Result<()> {
        if super::layout::is_key(key) {
            return self.check_bucket(bucket);
        }
        let message = "no object can have this key: it has a part . or .., or a NUL";
        Err(S3Error::with_message(S3ErrorCode::InvalidArgument, message))
    }

    /// Makes a staged file.
    pub fn stage(&self) -> io::Result<Staged> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.staging().join(number.to_string());
        let file =
            OpenOptions::new().write(true).read(true).create_new(true).mode(access::FILE).open(&path)?;
        Ok(Staged { file, temp: StagedFile { path, is_named: false }, place: Place::Staging })
    }

    /// Makes the staged bytes the object. With full durability, it survives a power cut once this returns.
    pub fn name_object(
        &self,
        mut staged: Staged,
        bucket: &str,
        description: &Description,
        conditions: &Conditions,
    ) -> S3Result<()> {
        self.check_bucket(bucket)?;
        let key = &description.key;
        let path = self.layout.object(bucket, key);
        let has_old_layout = self.has_old_layout.load(Ordering::Acquire);
        let is_conditional = conditions.if_match.is_some() || conditions.if_none_match.is_some();
        // Without the lock, the object could change between the check and the rename, and the migration could remove
        // the one of an older release at the same time. Otherwise the rename alone is atomic.
        let _held = (has_old_layout || is_conditional).then(|| self.lock(&path));
        if is_conditional {
            self.check_conditions(bucket, key, conditions)?;
        }
        let name = || {
            staged.describe(description)?;
            self.arrive(&mut staged, bucket)?;
            staged.temp.place(&path)?;
            if has_old_layout {
                old_layout::remove(&self.layout, bucket, key)?;
            }
            Ok(())
        };
        let named = name();
        // Even after an error, since the object may have been replaced all the same.
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.stored(named, description.size)
    }

    fn check_conditions(&self, bucket: &str, key: &str, conditions: &Conditions) -> S3Result<()> {
        let found = self.record(self.find(bucket, key))?;
        let failed = || S3Error::new(S3ErrorCode::PreconditionFailed);
        match found {
            None if conditions.if_match.is_some() => Err(failed()),
            None => Ok(()),
            Some(found) => found
                .check(conditions.if_match.as_ref(), conditions.if_none_match.as_ref())
                .map_err(|_| failed()),
        }
    }

    /// Makes a complete file durable, in one directory that all objects go through on their way: requests that wait for
    /// its sync share it, whatever their objects' directories are (group commit). The next start moves the file to its
    /// place if a crash prevents it.
    fn arrive(&self, staged: &mut Staged, bucket: &str) -> io::Result<()> {
        if self.dirs.is_none() {
            return Ok(());
        }
        // The file's bytes first: a durable name must never lead to missing bytes.
        staged.file.sync_all()?;
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.arrived().join(format!("{number}.{bucket}"));
        fs::rename(&staged.temp.path, &path)?;
        staged.temp.path = path;
        self.sync_dirs([self.layout.arrived()])
    }

    /// Gives the file its name atomically. With full durability, it survives a power cut once this returns.
    pub fn name_file(&self, mut staged: Staged, path: &Path) -> io::Result<()> {
        self.sync_file(&staged.file)?;
        fs::rename(&staged.temp.path, path)?;
        staged.temp.is_named = true;
        self.sync_dirs(path.parent().map(Path::to_owned))
    }

    /// Syncs a file's bytes; only with full durability.
    pub fn sync_file(&self, file: &File) -> io::Result<()> {
        if self.dirs.is_some() { file.sync_all() } else { Ok(()) }
    }

    /// Syncs the whole file system of the store; only with full durability.
    pub fn sync_file_system(&self) -> io::Result<()> {
        if self.dirs.is_some() {
            nix::unistd::syncfs(File::open(self.layout.root())?)?;
        }
        Ok(())
    }

    /// Syncs these directories; only with full durability.
    pub fn sync_dirs(&self, dirs: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
        self.dirs.as_ref().map_or(Ok(()), |syncs| syncs.sync(dirs))
    }

    /// Opens an object; an error when there is none.
    pub fn object(&self, bucket: &str, key: &str) -> S3Result<OpenObject> {
        self.check_bucket(bucket)?;
        self.record(self.find(bucket, key))?.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchKey))
    }

    /// Opens an object; `None` when there is none.
    pub fn find(&self, bucket: &str, key: &str) -> io::Result<Option<OpenObject>> {
        let path = self.layout.object(bucket, key);
        let found = OpenObject::at(&path)?;
        if found.is_some() || !self.has_old_layout.load(Ordering::Acquire) {
            return Ok(found);
        }
        match old_layout::open(&self.layout, bucket, key)? {
            // The migration may have moved it between the two lookups.
            None => OpenObject::at(&path),
            found => Ok(found),
        }
    }

    /// Removes an object, if there is one.
    pub fn remove(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket)?;
        let path = self.layout.object(bucket, key);
        let has_old_layout = self.has_old_layout.load(Ordering::Acquire);
        let _held = has_old_layout.then(|| self.lock(&path));
        let remove = || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if has_old_layout { old_layout::remove(&self.layout, bucket, key) } else { Ok(()) }
        };
        let removed = remove();
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.record(removed)
    }

    /// Returns a number that changes with each request that stores or removes an object.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Locks the entries that were read ahead.
    pub fn read_ahead(&self) -> MutexGuard<'_, Option<ReadAhead>> {
        self.read_ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the objects whose paths share a lock with this one, against changes by other requests.
    pub fn lock(&self, path: &Path) -> MutexGuard<'_, ()> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(path);
        let place = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        self.locks[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Probes the disk by writing a block. A listing alone would not show that it can't be written.
    pub fn probe(&self) -> S3Result<()> {
        self.disk.probe(|| self.stage()?.file.write_all(&PROBE_BLOCK))
    }

    /// Turns an error into a response, and logs an outage of the disk once.
    pub fn record<T>(&self, outcome: io::Result<T>) -> S3Result<T> {
        self.disk.record(outcome, 0)
    }

    /// Does the same as `record` for an operation that stores `size` bytes.
    pub fn stored<T>(&self, outcome: io::Result<T>, size: u64) -> S3Result<T> {
        if outcome.is_ok() && self.disk.is_full() {
            // The disk may have space again, or this object was only smaller than the one that failed.
            let _ = self.probe();
        }
        self.disk.record(outcome, size)
    }
}

/// Renames a file to an object's path; makes the directory if it is missing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            to.parent().map_or(Ok(()), make_dir)?;
            fs::rename(from, to)
        }
        renamed => renamed,
    }
}

/// Moves durable objects to their paths that a crash or a power cut kept from getting there.
fn recover_arrived(layout: &Layout) -> io::Result<()> {
    let mut arrived = Vec::new();
    for path in dir_entries(&layout.arrived())? {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('.'));
        let Some((Ok(number), bucket)) =
            name.map(|(number, bucket)| (number.parse::<u64>(), bucket.to_owned()))
        else {
            continue;
        };
        arrived.push((number, bucket, path));
    }
    // In the order in which they were stored, so that the last one of a key wins.
    arrived.sort();
    for (_, bucket, from) in arrived {
        let Some(opened) = OpenObject::at(&from)? else { continue };
        let to = layout.object(&bucket, &opened.description.key);
        let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        // After a kill of the process alone, another object may have been stored under the key since, which must stay.
        let is_newer = modified(&to).is_some_and(|there| Some(there) > modified(&from));
        if is_newer || opened.description.key.is_empty() || !layout.bucket(&bucket).is_dir() {
            fs::remove_file(&from)?;
        } else {
            rename(&from, &to)?;
        }
    }
    Ok(())
}

/// Runs blocking work on a thread for file operations.
pub(super) async fn blocking<T: Send + 'static>(
    files: &Arc<Files>,
    work: impl FnOnce(&Files) -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    let files = Arc::clone(files);
    tokio::task::spawn_blocking(move || work(&files)).await.map_err(S3Error::internal_error)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(files: &Files, key: &str, content: &str) {
        let mut staged = files.stage().unwrap();
        staged.file.write_all(content.as_bytes()).unwrap();
        let description =
            Description { key: key.to_owned(), size: content.len() as u64, ..Description::default() };
        files.name_object(staged, "bucket", &description, &Conditions::default()).unwrap();
    }

    fn content(files: &Files, key: &str) -> Option<String> {
        use std::io::Read;
        let opened = files.find("bucket", key).unwrap()?;
        let mut content = String::new();
        opened.file.take(opened.description.size).read_to_string(&mut content).unwrap();
        Some(content)
    }

    #[test]
    fn what_had_arrived_is_taken_in_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Files::open(dir.path(), Durability::Full).unwrap();
        let files = open();
        make_dir(&files.layout.bucket("bucket")).unwrap();
        let place = |key| files.layout.object("bucket", key);
        let arrived = files.layout.arrived();
        // As if the last rename of each had not reached the disk.
        for (number, content) in ["first", "second"].iter().enumerate() {
            put(&files, "lost", content);
            fs::rename(place("lost"), arrived.join(format!("{}.bucket", number + 9))).unwrap();
        }
        fs::remove_dir(place("lost").parent().unwrap()).unwrap();
        put(&files, "replaced", "old");
        let old = fs::read(place("replaced")).unwrap();
        put(&files, "replaced", "new");
        fs::rename(place("replaced"), arrived.join("11.bucket")).unwrap();
        fs::write(place("replaced"), &old).unwrap();
        File::open(place("replaced")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        // As a process was killed before its rename, and another had stored the same key.
        put(&files, "kept", "older");
        fs::rename(place("kept"), arrived.join("12.bucket")).unwrap();
        File::open(arrived.join("12.bucket")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        put(&files, "kept", "newer");
        // Of a bucket that is gone.
        put(&files, "gone", "x");
        fs::rename(place("gone"), arrived.join("13.gone")).unwrap();

        let again = open();
        for (key, expected) in
            [("lost", Some("second")), ("replaced", Some("new")), ("kept", Some("newer")), ("gone", None)]
        {
            assert_eq!(content(&again, key).as_deref(), expected, "{key}");
        }
        assert_eq!(fs::read_dir(&arrived).unwrap().count(), 0);
    }
}
