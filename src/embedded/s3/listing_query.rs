//! Parameters of a listing, and entries that are read ahead between two of its pages.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Time for which entries that were read ahead are used. It bounds how late files are listed that were put into a
/// bucket's directories by hand.
const READ_AHEAD_TTL: Duration = Duration::from_secs(10);

/// Parameters of one page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListingQuery {
    pub prefix: String,
    /// Keys that contain this behind the prefix are folded to one entry that ends with it.
    pub delimiter: Option<String>,
    /// Last entry of the page before.
    pub after: Option<String>,
    pub start_after: Option<String>,
    pub max: usize,
}

impl ListingQuery {
    /// Returns the key, or the common prefix that stands for it; `None` when it is not on this page or a later one.
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

    /// Tells whether an entry is a common prefix.
    pub fn is_prefix(&self, entry: &str) -> bool {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        delimiter.is_some_and(|delimiter| entry[self.prefix.len()..].ends_with(delimiter))
    }
}

/// Entries behind the last page that was read, so that reading a whole listing needs a walk through the directories
/// only every few pages.
#[derive(Debug)]
pub(super) struct ReadAhead {
    pub bucket: String,
    /// Query that they answer.
    pub query: ListingQuery,
    pub entries: Entries,
}

/// Sorted entries of a listing.
#[derive(Debug)]
pub(super) struct Entries {
    pub sorted: BTreeSet<String>,
    /// True if nothing comes after them.
    pub is_complete: bool,
    /// Number of changes of the store before they were read.
    pub changes: u64,
    pub read: Instant,
}

impl ReadAhead {
    /// Tells whether they contain this page, and nothing was stored or removed since they were read.
    pub fn serves(&self, bucket: &str, query: &ListingQuery, changes: u64) -> bool {
        let entries = &self.entries;
        self.bucket == bucket
            && self.query == *query
            && entries.changes == changes
            && entries.read.elapsed() < READ_AHEAD_TTL
            && (entries.is_complete || entries.sorted.len() >= query.max)
    }
}
