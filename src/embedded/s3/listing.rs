//! A page of a bucket's listing. `s3s-fs` asks the file system about every object for each page; this only for those
//! in the page.

use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use s3s::dto::{Object, Timestamp};

/// S3 gives no more in one answer.
pub(super) const MAX_KEYS: usize = 1000;

/// Up to `max` objects whose keys begin with `prefix` and come after `after`, in the order of their keys as text; and
/// the key after which the next page begins, if there are more. Memory for the page alone.
pub(super) fn page(
    bucket: &Path,
    prefix: &str,
    after: Option<&str>,
    max: usize,
) -> io::Result<(Vec<Object>, Option<String>)> {
    let mut lowest: BinaryHeap<String> = BinaryHeap::with_capacity(max + 2);
    walk(bucket, prefix, |key| {
        let is_wanted = after.is_none_or(|after| key.as_str() > after);
        if is_wanted && (lowest.len() <= max || lowest.peek().is_some_and(|last| key < *last)) {
            lowest.push(key);
            if lowest.len() > max + 1 {
                lowest.pop();
            }
        }
    })?;
    let mut keys = lowest.into_sorted_vec();
    let more = keys.len() > max;
    keys.truncate(max);
    let next = keys.last().filter(|_| more).cloned();
    let objects = keys.into_iter().filter_map(|key| describe(bucket, key).transpose());
    Ok((objects.collect::<io::Result<_>>()?, next))
}

/// Every key that begins with `prefix`, in no order.
fn walk(bucket: &Path, prefix: &str, mut found: impl FnMut(String)) -> io::Result<()> {
    let mut dirs: Vec<(PathBuf, String)> = vec![(bucket.to_owned(), String::new())];
    while let Some((dir, above)) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir != bucket => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // Keys are Unicode.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entry.file_type()?.is_dir() {
                let below = format!("{above}{name}/");
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    dirs.push((entry.path(), below));
                }
            } else {
                let key = format!("{above}{name}");
                if key.starts_with(prefix) {
                    found(key);
                }
            }
        }
    }
    Ok(())
}

/// `None` when it was removed meanwhile.
fn describe(bucket: &Path, key: String) -> io::Result<Option<Object>> {
    let metadata = match std::fs::metadata(bucket.join(&key)) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Object {
        key: Some(key),
        size: Some(i64::try_from(metadata.len()).unwrap_or(i64::MAX)),
        last_modified: Some(Timestamp::from(metadata.modified()?)),
        ..Object::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(objects: Vec<Object>) -> Vec<String> {
        objects.into_iter().filter_map(|object| object.key).collect()
    }

    #[test]
    fn pages_together_are_the_objects_in_the_order_of_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let mut all: Vec<String> = (0..25).map(|n| format!("files/{n}_x")).collect();
        all.extend(["files/deep/er/x", "files/a b+é", "files/note.txt"].map(str::to_owned));
        for key in all.iter().map(String::as_str).chain(["top", "other/files/x", "files2/x"]) {
            let path = dir.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, key).unwrap();
        }
        all.sort();
        for max in [1, 2, 7, 27, 28, 29] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (objects, next) = page(dir.path(), "files/", after.as_deref(), max).unwrap();
                assert!(objects.iter().all(|object| {
                    object.size == object.key.as_ref().map(|key| i64::try_from(key.len()).unwrap())
                }));
                seen.extend(keys(objects));
                if next.is_none() {
                    break;
                }
                assert_eq!(seen.len() % max, 0, "full but for the last");
                after = next;
            }
            assert_eq!(seen, all, "{max} in a page");
        }
        let (deep, _) = page(dir.path(), "files/dee", None, 9).unwrap();
        assert_eq!(keys(deep), ["files/deep/er/x"]);
        assert_eq!(keys(page(dir.path(), "", None, 99).unwrap().0).len(), all.len() + 3);
    }
}
