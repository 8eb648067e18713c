//! Version of the table of files: it rises with each change, and tells a cache that it is outdated.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::db::Db;

#[derive(Default)]
pub(in crate::db) struct Changes {
    count: AtomicU64,
    /// True while changes of other processes are notified as well.
    is_listening: AtomicBool,
}

impl Changes {
    /// Counts a change, or what may be one.
    pub fn record(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that notifications begin or end. It counts as a change, because one may have been missed in between.
    pub fn set_listening(&self, is_listening: bool) {
        self.record();
        self.is_listening.store(is_listening, Ordering::Release);
    }
}

impl Db {
    /// Returns a number that rises with each change of files that this process has committed or was notified of; `None`
    /// while changes of other processes are not notified.
    pub fn version(&self) -> Option<u64> {
        let count = self.changes.count.load(Ordering::Acquire);
        self.changes.is_listening.load(Ordering::Acquire).then_some(count)
    }
}
