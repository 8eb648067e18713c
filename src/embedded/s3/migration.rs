//! Moves objects of older releases to today's layout while the server runs. A crash at any point loses nothing: an
//! original goes only after its copy, under its name, survives a power cut.

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
use super::old;
use super::put::stage_copy;

/// After a failure, such as a disk that is full.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Keys that are held in memory at once.
const MAX_KEYS: usize = 10_000;
/// A batch shares two syncs of the file system, and takes so much more room while it moves.
const BATCH_OBJECTS: usize = 1000;
const BATCH_BYTES: u64 = 64 << 20;
/// Between two log lines about how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

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

/// An object of a batch.
struct PendingMove<'a> {
    key: &'a str,
    path: PathBuf,
    /// `None` when the object at `path` is newer.
    copy: Option<StagedFile>,
}

/// Moves everything, and ends when nothing is left or at `stop`. Blocks.
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
                    "moving objects of an older release is interrupted"
                );
                // Logged once there. Objects that are left can be read where they are.
                let _ = files.stored::<()>(Err(error), 0);
                let until = Instant::now() + RETRY_AFTER;
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
            self.files.has_old.store(false, Ordering::Release);
            if let Err(error) = old::sweep(&self.files.layout) {
                log::warn!(error = error.to_string(); "descriptions of objects that are gone can't be removed");
            }
        }
        if self.moved > 0 {
            log::info!(
                objects = self.moved, seconds = self.began.elapsed().as_secs();
                "objects of an older release are moved to today's layout"
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
            let _: ControlFlow<()> = old::walk(&self.files.layout, bucket, "", &mut |_| {
                *total += 1;
                ControlFlow::Continue(())
            })?;
        }
        if self.total > self.moved {
            log::info!(
                objects = self.total - self.moved;
                "moving objects of an older release to today's layout; files can be used meanwhile"
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
            old::remove_empty(&self.files.layout.old.join(bucket))?;
        }
        Ok(())
    }

    /// Some of the keys that are left.
    fn keys(&self, bucket: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let _: ControlFlow<()> = old::walk(&self.files.layout, bucket, "", &mut |key| {
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
        if exists(&path) {
            return Ok((PendingMove { key, path, copy: None }, 0));
        }
        let Some(opened) = old::open(layout, bucket, key)? else {
            return Ok((PendingMove { key, path, copy: None }, 0));
        };
        let size = opened.description.size;
        let mut staged = stage_copy(self.files, &opened.file, size)?;
        staged.describe(&opened.description)?;
        staged.file.set_modified(opened.file.metadata()?.modified()?)?;
        Ok((PendingMove { key, path, copy: Some(staged.temp) }, size))
    }

    /// Names the copies and removes the originals, with a sync before each of both.
    fn finish(&mut self, bucket: &str, mut batch: Vec<PendingMove<'_>>) -> io::Result<()> {
        let files = self.files;
        files.sync_file_system()?;
        for PendingMove { key, path, copy } in &mut batch {
            let _held = files.lock(path);
            // Requests that came meanwhile have stored it again, or deleted it.
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
            old::remove(&files.layout, bucket, key)?;
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
