//! Parameters of a listing, and entries that are read ahead between two of its pages.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Files that are put into a bucket's directories by hand are listed after so long.
const READ_AHEAD_TTL: Duration = Duration::from_secs(10);

/// Parameters of one page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub prefix: String,
    /// Keys that have this behind the prefix are told together, as what comes before it.
    pub delimiter: Option<String>,
    /// The last entry of the page before.
    pub after: Option<String>,
    pub start_after: Option<String>,
    pub max: usize,
}

impl Wanted {
    /// The key, or the common prefix that stands for it. `None`: it is not wanted.
    pub fn entry<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(&*self.prefix)?;
        if self.start_after.as_ref().is_some_and(|after| key <= after.as_str()) {
            return None;
        }
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let end = delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        let entry = end.map_or(key, |end| &key[..self.prefix.len() + end]);
        self.after.as_ref().is_none_or(|after| entry > after.as_str()).then_some(entry)
    }

    pub fn is_prefix(&self, entry: &str) -> bool {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        delimiter.is_some_and(|delimiter| entry[self.prefix.len()..].ends_with(delimiter))
    }
}

/// Entries behind the last page that was asked for, so that whoever reads a whole listing costs a walk through the
/// directories every few pages only.
#[derive(Debug)]
pub(super) struct ReadAhead {
    pub bucket: String,
    /// The request that they answer.
    pub wanted: Wanted,
    pub entries: Entries,
}

#[derive(Debug)]
pub(super) struct Entries {
    pub sorted: BTreeSet<String>,
    /// True when nothing comes after them.
    pub is_complete: bool,
    /// The store's count of changes before they were read.
    pub changes: u64,
    pub read: Instant,
}

impl ReadAhead {
    /// Tells whether they begin the page that is wanted, and nothing was stored or removed since they were read.
    pub fn serves(&self, bucket: &str, wanted: &Wanted, changes: u64) -> bool {
        let entries = &self.entries;
        self.bucket == bucket
            && self.wanted == *wanted
            && entries.changes == changes
            && entries.read.elapsed() < READ_AHEAD_TTL
            && (entries.is_complete || entries.sorted.len() >= wanted.max)
    }
}
