//! Outbox rows that this process has just committed and publishes itself, straight from their commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Db;
use super::outbox::OutboxRow;
use crate::faults;

/// For so long no other relay takes such a row: longer than publishing takes, and what a crash in between delays it.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// Beyond, rows are only in the table.
const ROOM: usize = 4000;

#[derive(Default)]
pub(super) struct Fresh {
    rows: Mutex<Option<Vec<OutboxRow>>>,
    more: Notify,
}

impl Fresh {
    /// `None` while nobody publishes them.
    fn rows(&self) -> MutexGuard<'_, Option<Vec<OutboxRow>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long rows that are written now are this process's alone, if they are to be offered here.
    pub fn lease(&self) -> Option<Duration> {
        faults::plant!(LastSeenRelay { return None });
        self.rows().as_ref().is_some_and(|rows| rows.len() < ROOM).then_some(LEASE)
    }

    /// Rows that have committed. When nobody takes them, others do after their lease.
    pub fn offer(&self, committed: Vec<OutboxRow>) {
        if let Some(rows) = &mut *self.rows() {
            rows.extend(committed);
        }
        self.more.notify_one();
    }
}

/// As long as it lives, this process publishes what it commits.
pub struct FreshRows {
    db: Db,
}

impl Db {
    pub fn fresh_rows(&self) -> FreshRows {
        self.fresh.rows().get_or_insert_default();
        FreshRows { db: self.clone() }
    }
}

impl FreshRows {
    /// Up to `limit`, in the order of their commits. They stay in the table until they are settled there.
    pub fn take(&self, limit: usize) -> Vec<OutboxRow> {
        let mut rows = self.db.fresh.rows();
        let Some(rows) = &mut *rows else { return Vec::new() };
        let count = rows.len().min(limit);
        rows.drain(..count).collect()
    }

    /// Until there may be some.
    pub async fn more(&self) {
        self.db.fresh.more.notified().await;
    }
}

impl Drop for FreshRows {
    fn drop(&mut self) {
        *self.db.fresh.rows() = None;
    }
}
