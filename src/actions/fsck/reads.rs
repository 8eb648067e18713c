//! Reads of PostgreSQL and S3 by fsck, each retried while they are unavailable for a moment.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::db::files::ObjectReference;
use crate::db::{Db, DbError};
use crate::domain::{FileId, Result};
use crate::storage::{ListedObject, ObjectPage, Storage, StorageError, Stored};

/// Both sides of the comparison. Reads only.
#[derive(Clone, Copy)]
pub(super) struct Reads<'a> {
    pub db: &'a Db,
    pub storage: &'a Storage,
}

impl Reads<'_> {
    pub async fn page(&self, prefix: &str, from: Option<&str>) -> Result<ObjectPage> {
        Ok(store(|| self.storage.list_objects(prefix, from)).await?)
    }

    pub async fn head(&self, key: &str) -> Result<Option<ListedObject>> {
        Ok(store(|| self.storage.head(key)).await?)
    }

    /// `None`: there is no such object.
    pub async fn digest(&self, key: &str) -> Result<Option<Stored>> {
        match store(|| self.storage.digest(key)).await {
            Ok(stored) => Ok(Some(stored)),
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn claims(&self, ids: Vec<FileId>) -> Result<Vec<ObjectReference>> {
        rows(|| self.db.files().object_references(ids.clone())).await
    }

    pub async fn claim(&self, id: FileId) -> Result<Option<ObjectReference>> {
        Ok(self.claims(vec![id]).await?.pop())
    }

    pub async fn is_queued(&self, id: FileId, key: &str) -> Result<bool> {
        let queued = rows(|| self.db.object_removals().queued_for(vec![id])).await?;
        Ok(queued.iter().any(|(_, queued)| queued == key))
    }
}

pub(super) async fn store<T, F>(ask: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    use StorageError as E;
    let passes = |error: &E| matches!(error, E::Unavailable(_) | E::Busy(..) | E::TimedOut);
    ask.retry(waits()).when(passes).await
}

pub(super) async fn rows<T, F>(ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, DbError>>,
{
    Ok(ask.retry(waits()).when(DbError::passes).await?)
}

/// About three seconds in all.
fn waits() -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(200)).with_max_times(4).with_jitter()
}
