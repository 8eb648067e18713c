//! Batches of one member that are in flight: started, awaited, aborted.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::broker::{Position, TopicPartition};
use crate::telemetry::Outage;

/// Tasks that process batches, and the partition that each of them works for.
pub(super) struct InFlight {
    tasks: JoinSet<Vec<Position>>,
    handles: HashMap<tokio::task::Id, (AbortHandle, TopicPartition)>,
    /// Outage during which records wait for a dependency.
    pub(super) stall: Arc<Outage>,
}

impl Default for InFlight {
    fn default() -> Self {
        let stall = Arc::new(Outage::new("consumer stalled", "consumer resumed"));
        Self { tasks: JoinSet::new(), handles: HashMap::new(), stall }
    }
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn start(
        &mut self,
        partition: TopicPartition,
        task: impl Future<Output = Vec<Position>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.handles.insert(handle.id(), (handle, partition));
    }

    /// Waits for the next batch to end and returns the positions that it finished; `None` when no batch is in flight.
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<Position>> {
        let joined = self.tasks.join_next_with_id().await?;
        let (id, finished) = match joined {
            Ok((id, finished)) => (id, finished),
            Err(error) => (error.id(), nothing_finished(&error)),
        };
        self.handles.remove(&id);
        Some(finished)
    }

    /// Aborts the batches of these partitions.
    pub(super) fn abort(&self, partitions: &[TopicPartition]) {
        for (handle, _) in self.handles.values().filter(|(_, of)| partitions.contains(of)) {
            handle.abort();
        }
    }

    /// Aborts all batches and waits until their tasks have ended.
    pub(super) async fn abort_all(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Counts no record of a batch without a result as finished: at least once, its records are delivered again.
fn nothing_finished(error: &JoinError) -> Vec<Position> {
    if error.is_panic() {
        log::error!(error:% = error; "batch processing panicked outside its handler");
    }
    Vec::new()
}
