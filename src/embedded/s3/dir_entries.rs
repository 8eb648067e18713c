//! Listing of directories.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns the paths of a directory's entries; none when it doesn't exist.
pub(super) fn dir_entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
