//! Layout of older releases: objects under their keys as paths, described by two files beside the buckets. Such objects
//! are read in place until they are moved to the current layout, while the server runs.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::Timestamp;
use serde::Deserialize;

use super::dir_entries::dir_entries;
use super::layout::{Layout, is_bucket_name};
use super::object::{Checksums, Description, Headers, OpenObject};
use super::{hex, make_dir, object};

/// Prefix of the files that describe objects.
const DESCRIPTION: &str = ".bucket-";

/// Content of one of the two files that describe an object.
#[derive(Debug, Default, Deserialize)]
struct InternalFile {
    e_tag: Option<String>,
    #[serde(flatten)]
    sums: Checksums,
}

/// Makes the buckets of an older release in the current layout; returns whether there are any. Removes its unfinished
/// writes and uploads.
pub(super) fn prepare(layout: &Layout) -> io::Result<bool> {
    let mut has_old_layout = false;
    for path in dir_entries(&layout.old)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if [".tmp.", ".upload"].iter().any(|prefix| name.starts_with(prefix)) {
            fs::remove_file(&path)?;
        } else if is_bucket_name(name) && fs::symlink_metadata(&path)?.is_dir() {
            make_dir(&layout.bucket(name))?;
            has_old_layout = true;
        }
    }
    if !has_old_layout {
        sweep(layout)?;
    }
    Ok(has_old_layout)
}

/// Removes descriptions without objects, which a process leaves that is killed while it removes an object. To be called
/// when no object of an older release is left.
pub(super) fn sweep(layout: &Layout) -> io::Result<()> {
    for path in dir_entries(&layout.old)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(DESCRIPTION)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn descriptions(layout: &Layout, bucket: &str, key: &str) -> [PathBuf; 2] {
    let bucket = BASE64_URL_SAFE_NO_PAD.encode(bucket);
    let key = BASE64_URL_SAFE_NO_PAD.encode(key);
    ["metadata", "internal"]
        .map(|kind| layout.old.join(format!("{DESCRIPTION}{bucket}.object-{key}.{kind}.json")))
}

/// Opens an object; `None` when there is none.
pub(super) fn open(layout: &Layout, bucket: &str, key: &str) -> io::Result<Option<OpenObject>> {
    let Some(path) = layout.old_object(bucket, key) else { return Ok(None) };
    let Some(mut file) = object::open(&path)? else { return Ok(None) };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let [headers, internal] = descriptions(layout, bucket, key);
    let headers: Headers = read(&headers)?;
    let internal: InternalFile = read(&internal)?;
    let e_tag = match internal.e_tag {
        Some(e_tag) => e_tag,
        None => digest(&mut file)?,
    };
    let description =
        Description { key: key.to_owned(), size: metadata.len(), e_tag, sums: internal.sums, headers };
    Ok(Some(OpenObject { file, description, modified: Timestamp::from(metadata.modified()?) }))
}

/// Reads a description file; one that is missing or malformed counts as empty.
fn read<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> io::Result<T> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        // The key is too long for the name of a description file.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(T::default()),
        Err(error) => Err(error),
    }
}

fn digest(file: &mut File) -> io::Result<String> {
    use std::io::Read;
    let (mut md5, mut buffer) = (Md5::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(md5.finalize().as_ref())),
            length => md5.update(&buffer[..length]),
        }
    }
}

/// Removes an object and its description, if there are any.
pub(super) fn remove(layout: &Layout, bucket: &str, key: &str) -> io::Result<()> {
    use io::ErrorKind as E;
    let Some(object) = layout.old_object(bucket, key) else { return Ok(()) };
    if fs::symlink_metadata(&object).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    for path in [object].into_iter().chain(descriptions(layout, bucket, key)) {
        match fs::remove_file(&path) {
            Err(error) if !matches!(error.kind(), E::NotFound | E::NotADirectory | E::InvalidFilename) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Calls `found` for every key of a bucket that begins with `prefix`, in no order, until it breaks.
pub(super) fn walk<B>(
    layout: &Layout,
    bucket: &str,
    prefix: &str,
    found: &mut impl FnMut(&str) -> ControlFlow<B>,
) -> io::Result<ControlFlow<B>> {
    let mut dirs = vec![(layout.old.join(bucket), String::new())];
    let mut key = String::new();
    while let Some((dir, above)) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            // Keys are Unicode, so a name that isn't belongs to no object.
            let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else { continue };
            key.clear();
            key.push_str(&above);
            key.push_str(name);
            if kind.is_dir() {
                key.push('/');
                if key.starts_with(prefix) || prefix.starts_with(&key) {
                    dirs.push((entry.path(), key.clone()));
                }
            } else if kind.is_file()
                && key.starts_with(prefix)
                && let ControlFlow::Break(end) = found(&key)
            {
                return Ok(ControlFlow::Break(end));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Removes a directory and those below it, as far as they have no files.
pub(super) fn remove_empty(dir: &Path) -> io::Result<()> {
    for path in dir_entries(dir)? {
        if fs::symlink_metadata(&path)?.is_dir() {
            remove_empty(&path)?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
