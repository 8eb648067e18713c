//! Give an upload back: nothing that its request has sent to the store may be carried out once another request has the lock.

use std::time::Duration;

use super::{LOCK_LEASE, Receiver};
use crate::domain::Result;
use crate::storage::StorageError;

/// Time that parts on their way have to end when no request needs them any more.
const STOP_WAIT: Duration = Duration::from_secs(5);

impl Receiver {
    /// Gives the lock back without storing what is not committed.
    pub async fn release(mut self) -> Result<()> {
        self.stop().await;
        self.unlock().await
    }

    /// Gives the lock back, once the receiver has stopped. Where a request may still be carried out by the store, the lock ends by
    /// itself instead: the next request must not write what this one would overwrite.
    pub(super) async fn unlock(&self) -> Result<()> {
        let uploads = self.ctx.db.uploads();
        if self.is_uncertain {
            uploads.extend_lock(self.id, self.lock, LOCK_LEASE).await?;
        } else {
            uploads.unlock(self.id, self.lock).await?;
        }
        Ok(())
    }

    /// Ends all requests to the store. They are waited for: the store may carry out one that is only given up.
    pub(super) async fn stop(&mut self) {
        let end = tokio::time::Instant::now() + STOP_WAIT;
        for (mut sending, _) in self.sending.drain(..) {
            match tokio::time::timeout_at(end, &mut sending).await {
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(error))) => self.is_uncertain |= leaves_open(&error),
                Ok(Err(_)) => self.is_uncertain = true,
                Err(_) => {
                    self.is_uncertain = true;
                    sending.abort();
                    let _ = sending.await;
                }
            }
        }
    }

    /// Notes whether the store may still carry out a request that has failed.
    pub(super) fn certain<T>(&mut self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
        self.is_uncertain |= outcome.as_ref().is_err_and(leaves_open);
        outcome
    }
}

/// Tells whether the store may have got a request, and may carry it out later, although it failed.
const fn leaves_open(error: &StorageError) -> bool {
    match error {
        StorageError::TimedOut | StorageError::Unavailable(_) => true,
        StorageError::NotFound(_)
        | StorageError::Busy(..)
        | StorageError::Denied(_)
        | StorageError::Misconfigured(_)
        | StorageError::NoBucket(_)
        | StorageError::Corrupt(_)
        | StorageError::Other(_) => false,
    }
}
