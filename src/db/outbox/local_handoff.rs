//! Local hand-off: outbox rows that this process has just committed go to its own relay without a query.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::message::OutboxRow;
use super::relay::LEASE;
use crate::db::Db;
use crate::domain::messages::topics;

/// Rows that wait for the relay at most; further ones are left to a query of the table.
const CAPACITY: usize = 4000;

/// Priority of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Requests: workers wait for them.
    Requests,
    /// Events: published in larger batches.
    Events,
}

#[derive(Default)]
pub(in crate::db) struct LocalHandoff {
    rows: Mutex<Option<Rows>>,
    requests: Notify,
    events: Notify,
}

#[derive(Default)]
struct Rows {
    requests: Vec<OutboxRow>,
    events: Vec<OutboxRow>,
}

impl Rows {
    fn len(&self) -> usize {
        self.requests.len() + self.events.len()
    }

    fn priority(&mut self, priority: Priority) -> &mut Vec<OutboxRow> {
        match priority {
            Priority::Requests => &mut self.requests,
            Priority::Events => &mut self.events,
        }
    }
}

impl LocalHandoff {
    /// Locks the rows; `None` while no publisher is registered.
    fn rows(&self) -> MutexGuard<'_, Option<Rows>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn more(&self, priority: Priority) -> &Notify {
        match priority {
            Priority::Requests => &self.requests,
            Priority::Events => &self.events,
        }
    }

    /// Returns the lease for rows that are written now, if they are to be enqueued here.
    pub fn lease(&self) -> Option<Duration> {
        self.rows().as_ref().is_some_and(|rows| rows.len() < CAPACITY).then_some(LEASE)
    }

    /// Enqueues rows that have committed. If the publisher does not take them, another relay does after their lease.
    pub fn enqueue(&self, committed: Vec<OutboxRow>) {
        let (requests, events): (Vec<_>, Vec<_>) =
            // Events go apart, so that requests, which workers wait for, never queue behind them.
            committed.into_iter().partition(|row| [topics::CREATE, topics::CREATED].contains(&&*row.message.topic));
        for (priority, committed) in [(Priority::Requests, requests), (Priority::Events, events)] {
            if committed.is_empty() {
                continue;
            }
            // The lock ends before the notification: the relay it wakes takes the lock at once.
            if let Some(rows) = &mut *self.rows() {
                rows.priority(priority).extend(committed);
            }
            self.more(priority).notify_one();
        }
    }
}

/// Registration of a publisher: while it lives, this process publishes what it commits.
pub struct Publisher {
    db: Db,
}

impl super::Outbox<'_> {
    /// Registers a publisher of what this process commits.
    pub fn register_publisher(self) -> Publisher {
        self.db.handoff.rows().get_or_insert_default();
        Publisher { db: self.db.clone() }
    }
}

impl Publisher {
    /// Takes up to `limit` rows in the order of their commits. They stay in the table until their outcome is applied.
    pub fn take(&self, priority: Priority, limit: usize) -> Vec<OutboxRow> {
        let mut rows = self.db.handoff.rows();
        let Some(rows) = &mut *rows else { return Vec::new() };
        let rows = rows.priority(priority);
        let count = rows.len().min(limit);
        rows.drain(..count).collect()
    }

    /// Waits until there may be rows.
    pub async fn notified(&self, priority: Priority) {
        self.db.handoff.more(priority).notified().await;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        *self.db.handoff.rows() = None;
    }
}
