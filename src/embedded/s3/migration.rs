//! Moves objects of older releases to the current layout while the server runs. A crash at any point loses nothing: an
//! original is removed only when its copy has its name and is durable.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::dir_entries::dir_entries;
use super::disk::is_full;
use super::files::{Files, StagedFile};
use super::old_layout;
use super::put::stage_copy;

/// Pause after a failure, such as a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Keys that are held in memory at once.
const MAX_KEYS: usize = 10_000;
/// Maximum objects in a batch. A batch shares two syncs of the file system.
const BATCH_OBJECTS: usize = 1000;
/// Maximum bytes in a batch, which are stored twice while it moves.
const BATCH_BYTES: u64 = 64 << 20;
/// Interval between two log lines about the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// State of a migration.
struct Migration<'a> {
    files: &'a Files,
    stop: &'a CancellationToken,
    began: Instant,
    reported: Instant,
    total: usize,
    moved: usize,
    /// Buckets and keys of objects that can't be read.
    skipped: BTreeSet<(String, String)>,
}

/// Object of a batch.
struct PendingMove<'a> {
    key: &'a str,
    path: PathBuf,
    /// `None` when the object at `path` exists already and is newer.
    copy: Option<StagedFile>,
}

/// Moves all objects until nothing is left, or until `stop`. Blocks.
pub(super) fn run(files: &Files, stop: &CancellationToken) {
    let now = Instant::now();
    let mut migration =
        Migration { files, stop, began: now, reported: now, total: 0, moved: 0, skipped: BTreeSet::new() };
    while !stop.is_cancelled() {
        match migration.move_all() {
            Ok(()) => return migration.end(),
            Err(error) => {
                log::debug!(
                    error = error.to_string(), moved = migration.moved, of = migration.total;
                    "moving objects of an older release was interrupted"
                );
                // Logs an outage of the disk once. Objects that are left can still be read in the old layout.
                let _ = files.stored::<()>(Err(error), 0);
                let until = Instant::now() + RETRY_PAUSE;
                while Instant::now() < until && !stop.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

impl Migration<'_> {
    fn end(self) {
        if self.stop.is_cancelled() {
            return;
        }
        if self.skipped.is_empty() {
            self.files.has_old_layout.store(false, Ordering::Release);
            if let Err(error) = old_layout::sweep(&self.files.layout) {
                log::warn!(error = error.to_string(); "descriptions of missing objects can't be removed");
            }
        }
        if self.moved > 0 {
            log::info!(
                objects = self.moved, seconds = self.began.elapsed().as_secs();
                "objects of an older release were moved to the current layout"
            );
        }
    }

    fn move_all(&mut self) -> io::Result<()> {
        let mut buckets = Vec::new();
        for path in dir_entries(&self.files.layout.buckets())? {
            buckets.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
        self.total = self.moved;
        for bucket in &buckets {
            let total = &mut self.total;
            let _: ControlFlow<()> = old_layout::walk(&self.files.layout, bucket, "", &mut |_| {
                *total += 1;
                ControlFlow::Continue(())
            })?;
        }
        if self.total > self.moved {
            log::info!(
                objects = self.total - self.moved;
                "moving objects of an older release to the current layout; files can be used meanwhile"
            );
        }
        for bucket in &buckets {
            loop {
                let keys = self.keys(bucket)?;
                if keys.is_empty() || self.stop.is_cancelled() {
                    break;
                }
                self.move_keys(bucket, &keys)?;
            }
            if self.stop.is_cancelled() {
                break;
            }
            old_layout::remove_empty(&self.files.layout.old.join(bucket))?;
        }
        Ok(())
    }

    /// Lists some of the keys that are left.
    fn keys(&self, bucket: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let _: ControlFlow<()> = old_layout::walk(&self.files.layout, bucket, "", &mut |key| {
            if !self.skipped.contains(&(bucket.to_owned(), key.to_owned())) {
                keys.push(key.to_owned());
            }
            if keys.len() < MAX_KEYS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(keys)
    }

    fn move_keys(&mut self, bucket: &str, keys: &[String]) -> io::Result<()> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (place, key) in keys.iter().enumerate() {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            match self.copy(bucket, key) {
                Ok((moving, size)) => {
                    batch.push(moving);
                    bytes += size;
                }
                // Every other object would fail as well: the whole migration pauses.
                Err(error) if is_full(&error) => return Err(error),
                Err(error) => {
                    log::warn!(
                        bucket = bucket, key:? = key, error = error.to_string();
                        "an object of an older release can't be moved"
                    );
                    self.skipped.insert((bucket.to_owned(), key.clone()));
                }
            }
            if batch.len() == BATCH_OBJECTS || bytes >= BATCH_BYTES || place + 1 == keys.len() {
                self.finish(bucket, std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        Ok(())
    }

    /// Copies the object to a staged file; returns the size of the copy as well.
    fn copy<'k>(&self, bucket: &str, key: &'k str) -> io::Result<(PendingMove<'k>, u64)> {
        let layout = &self.files.layout;
        let path = layout.object(bucket, key);
        // Stored again since: the newer object stays, and the original is removed with the batch.
        if exists(&path) {
            return Ok((PendingMove { key, path, copy: None }, 0));
        }
        let Some(opened) = old_layout::open(layout, bucket, key)? else {
            return Ok((PendingMove { key, path, copy: None }, 0));
        };
        let size = opened.description.size;
        let mut staged = stage_copy(self.files, &opened.file, size)?;
        staged.describe(&opened.description)?;
        // Listings show the time at which the object was stored, not that of the move.
        staged.file.set_modified(opened.file.metadata()?.modified()?)?;
        Ok((PendingMove { key, path, copy: Some(staged.temp) }, size))
    }

    /// Names the copies, then removes the originals. A sync before each step makes the step before durable.
    fn finish(&mut self, bucket: &str, mut batch: Vec<PendingMove<'_>>) -> io::Result<()> {
        let files = self.files;
        files.sync_file_system()?;
        for PendingMove { key, path, copy } in &mut batch {
            let _held = files.lock(path);
            // A request may have stored the object again meanwhile, or deleted it: then the copy must not bring it
            // back.
            if let Some(copy) = copy.take()
                && !exists(path)
                && files.layout.old_object(bucket, key).is_some_and(|original| exists(&original))
            {
                copy.place(path)?;
            }
        }
        files.sync_file_system()?;
        for PendingMove { key, path, .. } in &batch {
            let _held = files.lock(path);
            old_layout::remove(&files.layout, bucket, key)?;
        }
        self.moved += batch.len();
        if self.reported.elapsed() >= PROGRESS_INTERVAL {
            self.reported = Instant::now();
            log::info!(moved = self.moved, of = self.total; "moving objects of an older release");
        }
        Ok(())
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
