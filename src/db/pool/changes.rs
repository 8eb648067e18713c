//! Whether files may have changed since somebody looked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::db::Db;

#[derive(Default)]
pub(in crate::db) struct Changes {
    count: AtomicU64,
    /// Whether those of others are told as well.
    hears: AtomicBool,
}

impl Changes {
    /// Counts a change, or what may be one.
    pub fn more(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// What happened while it heard nothing may have been anything.
    pub fn hears(&self, hears: bool) {
        self.more();
        self.hears.store(hears, Ordering::Release);
    }
}

impl Db {
    /// Another one after each change of files that this process has committed or heard of; `None` while it hears
    /// nothing of those of others.
    pub fn version(&self) -> Option<u64> {
        let count = self.changes.count.load(Ordering::Acquire);
        self.changes.hears.load(Ordering::Acquire).then_some(count)
    }
}
