//! Pages of a bucket's listing. Objects are stored in no order: for each page all names are read, and only those on the
//! page are kept and opened.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use s3s::dto::{CommonPrefix, Object};

use super::files::Files;
use super::layout::decode;
use super::listing_query::{Entries, ListingQuery, ReadAhead};
use super::object::OpenObject;
use super::old_layout;

/// Maximum entries of a page, as in S3.
pub(super) const MAX_KEYS: usize = 1000;
/// Number of pages that are read together, from the second page on.
const READ_AHEAD_PAGES: usize = 16;

/// Page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub objects: Vec<Object>,
    pub prefixes: Vec<CommonPrefix>,
    /// The last entry, if more come after it.
    pub next: Option<String>,
}

/// Lists up to `max` entries, sorted by their keys as text. It needs memory for a few pages, however many objects there
/// are.
pub(super) fn page(files: &Files, bucket: &str, query: &ListingQuery) -> io::Result<Page> {
    if query.max == 0 {
        return Ok(Page::default());
    }
    // Before anything is read: a change during the walk makes what is read ahead unusable.
    let changes = files.changes();
    let ahead = files.read_ahead().take_if(|ahead| ahead.serves(bucket, query, changes));
    let Entries { mut sorted, is_complete, changes, read } = match ahead {
        Some(ahead) => ahead.entries,
        None => read(files, bucket, query, changes)?,
    };
    let behind = sorted.iter().nth(query.max).cloned();
    let behind = behind.map(|first| sorted.split_off(&first)).unwrap_or_default();
    let has_more = !behind.is_empty() || !is_complete;
    let next = sorted.last().filter(|_| has_more).cloned();
    if !behind.is_empty() {
        let query = ListingQuery { after: next.clone(), ..query.clone() };
        let entries = Entries { sorted: behind, is_complete, changes, read };
        *files.read_ahead() = Some(ReadAhead { bucket: bucket.to_owned(), query, entries });
    }
    let mut page = Page { next, ..Page::default() };
    for entry in sorted {
        if query.is_prefix(&entry) {
            page.prefixes.push(CommonPrefix { prefix: Some(entry) });
        } else if let Some(object) = describe(files, bucket, entry)? {
            page.objects.push(object);
        }
    }
    Ok(page)
}

/// Reads the lowest entries: those of one page, and of more pages for a client that reads page after page.
fn read(files: &Files, bucket: &str, query: &ListingQuery, changes: u64) -> io::Result<Entries> {
    let read = Instant::now();
    let limit = query.max * if query.after.is_some() { READ_AHEAD_PAGES } else { 1 };
    let mut lowest: BTreeSet<String> = BTreeSet::new();
    let mut consider = |key: &str| {
        let Some(entry) = query.entry(key) else { return };
        if lowest.len() > limit && lowest.last().is_some_and(|last| entry >= last.as_str()) {
            return;
        }
        lowest.insert(entry.to_owned());
        // One more than the limit is kept, to know whether more come after it.
        if lowest.len() > limit + 1 {
            lowest.pop_last();
        }
    };
    // The old layout first, then the current one: an object that is moved meanwhile is found at least once.
    if files.has_old_layout.load(Ordering::Acquire) {
        let _: ControlFlow<()> = old_layout::walk(&files.layout, bucket, &query.prefix, &mut |key| {
            consider(key);
            ControlFlow::Continue(())
        })?;
    }
    walk(&files.layout.bucket(bucket), &mut consider)?;
    let is_complete = lowest.len() <= limit;
    if !is_complete {
        lowest.pop_last();
    }
    Ok(Entries { sorted: lowest, is_complete, changes, read })
}

/// Calls `found` for every key of a bucket, in no order, without an allocation for each: nearly all are on other pages.
fn walk(bucket: &Path, found: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut buffer = Vec::new();
    for dir in fs::read_dir(bucket)? {
        let dir = dir?.path();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let Some(text) = name.to_str() else { continue };
            if let Some(key) = decode(text, &mut buffer) {
                found(key);
                continue;
            }
            // The name is a digest, so the key is read from the file.
            let opened = OpenObject::at(&dir.join(&name))?;
            if let Some(opened) = opened.filter(|opened| !opened.description.key.is_empty()) {
                found(&opened.description.key);
            }
        }
    }
    Ok(())
}

/// Describes an object; `None` when it was removed meanwhile.
fn describe(files: &Files, bucket: &str, key: String) -> io::Result<Option<Object>> {
    let Some(opened) = files.find(bucket, &key)? else { return Ok(None) };
    Ok(Some(Object {
        key: Some(key),
        size: i64::try_from(opened.description.size).ok(),
        e_tag: Some(opened.description.tag()),
        last_modified: Some(opened.modified),
        ..Object::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::super::files::Conditions;
    use super::super::object::Description;
    use super::*;
    use crate::embedded::Durability;

    fn put(files: &Files, key: &str) {
        use std::io::Write;
        let mut staged = files.stage().unwrap();
        staged.file.write_all(key.as_bytes()).unwrap();
        let description =
            Description { key: key.to_owned(), size: key.len() as u64, ..Description::default() };
        files.name_object(staged, "bucket", &description, &Conditions::default()).unwrap();
    }

    fn all(files: &Files, query: &ListingQuery) -> Vec<String> {
        let (mut query, mut seen) = (query.clone(), Vec::new());
        loop {
            let page = page(files, "bucket", &query).unwrap();
            let sizes = page.objects.iter().all(|object| {
                object.size == object.key.as_ref().map(|key| i64::try_from(key.len()).unwrap())
            });
            assert!(sizes, "{page:?}");
            let keys = page.objects.into_iter().filter_map(|object| object.key);
            let mut entries: Vec<String> =
                keys.chain(page.prefixes.into_iter().filter_map(|it| it.prefix)).collect();
            entries.sort();
            seen.extend(entries);
            if page.next.is_none() {
                return seen;
            }
            assert_eq!(seen.len() % query.max, 0, "full but for the last");
            query.after = page.next;
        }
    }

    #[test]
    fn what_is_stored_or_removed_between_two_pages_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bucket")).unwrap();
        let files = Files::open(dir.path(), Durability::Fast).unwrap();
        for n in 100..140 {
            put(&files, &format!("{n}"));
        }
        let mut query = ListingQuery { max: 3, ..ListingQuery::default() };
        let mut next = |expected: [&str; 3]| {
            let page = page(&files, "bucket", &query).unwrap();
            let keys: Vec<String> = page.objects.into_iter().filter_map(|object| object.key).collect();
            assert_eq!(keys, expected);
            query.after = page.next;
        };
        next(["100", "101", "102"]);
        next(["103", "104", "105"]);
        next(["106", "107", "108"]);
        assert!(files.read_ahead().is_some());
        put(&files, "1085");
        files.remove("bucket", "110").unwrap();
        next(["1085", "109", "111"]);
        next(["112", "113", "114"]);
        files.remove("bucket", "115").unwrap();
        next(["116", "117", "118"]);
    }

    #[test]
    fn pages_together_are_the_objects_in_the_order_of_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        // Some of them as older releases kept them.
        for key in ["files/3_x", "files/deep/er/x", "files/a b+é"] {
            let path = dir.path().join("bucket").join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        let files = Files::open(dir.path(), Durability::Fast).unwrap();
        let long = format!("files/{}", "y".repeat(900));
        let mut keys: Vec<String> = (0..25).map(|n| format!("files/{n}_x")).collect();
        keys.extend(["files/note.txt", "files/../x", "files//", &long].map(str::to_owned));
        for key in keys.iter().map(String::as_str).chain(["top", "other/files/x", "files2/x"]) {
            put(&files, key);
        }
        keys.extend(["files/deep/er/x", "files/a b+é"].map(str::to_owned));
        keys.sort();
        for max in [1, 2, 7, 30, 31, 32] {
            let query = ListingQuery { prefix: "files/".to_owned(), max, ..ListingQuery::default() };
            assert_eq!(all(&files, &query), keys, "{max} in a page");
            let delimiter = Some("/".to_owned());
            let mut folded: Vec<String> = keys.clone();
            folded.retain(|key| !key["files/".len()..].contains('/'));
            folded.extend(["files/deep/", "files/../", "files//"].map(str::to_owned));
            folded.sort();
            assert_eq!(all(&files, &ListingQuery { delimiter: delimiter.clone(), ..query.clone() }), folded);
            let top = ListingQuery { prefix: String::new(), delimiter, ..query.clone() };
            assert_eq!(all(&files, &top), ["files/", "files2/", "other/", "top"]);
            let later = ListingQuery { start_after: Some("files/9_x".to_owned()), ..query };
            assert_eq!(
                all(&files, &later),
                keys[keys.iter().position(|key| key == "files/9_x").unwrap() + 1..]
            );
        }
        let none = ListingQuery { prefix: "nothing".to_owned(), max: 5, ..ListingQuery::default() };
        assert_eq!(all(&files, &none), [""; 0]);
    }
}
