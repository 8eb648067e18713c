//! Outbox rows that this process has just committed and publishes itself, straight from their commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Db;
use super::outbox::{LEASE, OutboxRow};
use crate::domain::messages::topics;

/// Beyond, rows are only in the table.
const ROOM: usize = 4000;

/// What they are, and so how soon they are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Work waits for them.
    Requests,
    /// They tell what has happened.
    Facts,
}

#[derive(Default)]
pub(super) struct Fresh {
    rows: Mutex<Option<Rows>>,
    requests: Notify,
    facts: Notify,
}

#[derive(Default)]
struct Rows {
    requests: Vec<OutboxRow>,
    facts: Vec<OutboxRow>,
}

impl Rows {
    fn len(&self) -> usize {
        self.requests.len() + self.facts.len()
    }

    fn lane(&mut self, lane: Lane) -> &mut Vec<OutboxRow> {
        match lane {
            Lane::Requests => &mut self.requests,
            Lane::Facts => &mut self.facts,
        }
    }
}

impl Fresh {
    /// `None` while nobody publishes them.
    fn rows(&self) -> MutexGuard<'_, Option<Rows>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn more(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Requests => &self.requests,
            Lane::Facts => &self.facts,
        }
    }

    /// How long rows that are written now are this process's alone, if they are to be offered here.
    pub fn lease(&self) -> Option<Duration> {
        self.rows().as_ref().is_some_and(|rows| rows.len() < ROOM).then_some(LEASE)
    }

    /// Rows that have committed. When nobody takes them, others do after their lease.
    pub fn offer(&self, committed: Vec<OutboxRow>) {
        let (requests, facts): (Vec<_>, Vec<_>) =
            committed.into_iter().partition(|row| row.topic != topics::EVENTS);
        for (lane, committed) in [(Lane::Requests, requests), (Lane::Facts, facts)] {
            if committed.is_empty() {
                continue;
            }
            if let Some(rows) = &mut *self.rows() {
                rows.lane(lane).extend(committed);
            }
            self.more(lane).notify_one();
        }
    }
}

/// Registration of a publisher: as long as it lives, this process publishes what it commits.
pub struct FreshRows {
    db: Db,
}

impl Db {
    /// Registers a publisher of what this process commits.
    pub fn fresh_rows(&self) -> FreshRows {
        self.fresh.rows().get_or_insert_default();
        FreshRows { db: self.clone() }
    }
}

impl FreshRows {
    /// Up to `limit`, in the order of their commits. They stay in the table until they are settled there.
    pub fn take(&self, lane: Lane, limit: usize) -> Vec<OutboxRow> {
        let mut rows = self.db.fresh.rows();
        let Some(rows) = &mut *rows else { return Vec::new() };
        let rows = rows.lane(lane);
        let count = rows.len().min(limit);
        rows.drain(..count).collect()
    }

    /// Waits until there may be some.
    pub async fn more(&self, lane: Lane) {
        self.db.fresh.more(lane).notified().await;
    }
}

impl Drop for FreshRows {
    fn drop(&mut self) {
        *self.db.fresh.rows() = None;
    }
}
