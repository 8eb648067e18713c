//! The batches of one member that are in flight: started, awaited, aborted.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::broker::{Position, TopicPartition};
use crate::telemetry::Outage;

/// The batches in flight, and the partition that each of them works for.
pub(super) struct Jobs {
    set: JoinSet<Vec<Position>>,
    handles: HashMap<tokio::task::Id, (AbortHandle, TopicPartition)>,
    /// Records that wait for a dependency.
    pub(super) waits: Arc<Outage>,
}

impl Default for Jobs {
    fn default() -> Self {
        let waits = Arc::new(Outage::new("records wait", "records flow again"));
        Self { set: JoinSet::new(), handles: HashMap::new(), waits }
    }
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(super) fn start(
        &mut self,
        partition: TopicPartition,
        job: impl Future<Output = Vec<Position>> + Send + 'static,
    ) {
        let handle = self.set.spawn(job);
        self.handles.insert(handle.id(), (handle, partition));
    }

    /// What the next batch to end has settled; `None` when none is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<Position>> {
        let joined = self.set.join_next_with_id().await?;
        let (id, done) = match joined {
            Ok((id, done)) => (id, done),
            Err(error) => (error.id(), unfinished(&error)),
        };
        self.handles.remove(&id);
        Some(done)
    }

    pub(super) fn abort(&self, partitions: &[TopicPartition]) {
        for (handle, _) in self.handles.values().filter(|(_, of)| partitions.contains(of)) {
            handle.abort();
        }
    }

    pub(super) async fn abort_all(&mut self) {
        self.set.shutdown().await;
    }
}

/// An aborted batch has settled nothing that we know of.
fn unfinished(error: &JoinError) -> Vec<Position> {
    if error.is_panic() {
        log::error!(error:% = error; "a batch ended in a panic outside its handler");
    }
    Vec::new()
}
