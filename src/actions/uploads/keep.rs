//! Keep the lock of an upload as long as its request lives, also while it waits for the store, for memory or for its client.

use tokio_util::task::AbortOnDropHandle;

use super::{LOCK_LEASE, PROGRESS_INTERVAL};
use crate::actions::ServeContext;
use crate::db::uploads::LockId;
use crate::domain::FileId;

/// Extends the lock again and again until the handle is dropped or the lock is lost.
pub(super) fn keep(ctx: &ServeContext, id: FileId, lock: LockId) -> AbortOnDropHandle<()> {
    let db = ctx.db.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            match db.uploads().extend_lock(id, lock, LOCK_LEASE).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => log::debug!(file_id = id.0, error:% = error; "lock of an upload not extended"),
            }
        }
    }))
}
