//! `file.create` → `files::generate`: a worker generates the requested file.

use async_trait::async_trait;

use super::value;
use crate::actions::files::{self, RequestOrigin};
use crate::actions::{WorkerContext, dead_letters};
use crate::broker::Delivery;
use crate::consumer::{BatchContext, Handler, limits};
use crate::domain::messages::file_create::CreateFile;
use crate::domain::messages::{MessageError, named_file};
use crate::domain::{Error, ErrorCode, Result};
use crate::faults;

/// Generates requested files.
pub struct FileCreateHandler {
    pub ctx: WorkerContext,
    /// Name of this worker in results.
    pub worker: String,
}

impl From<MessageError> for Error {
    fn from(error: MessageError) -> Self {
        Self::new(ErrorCode::UnreadableRecord, error.to_string())
    }
}

#[async_trait]
impl Handler for FileCreateHandler {
    async fn handle(&self, batch: &[Delivery], context: &BatchContext) -> Vec<Result<()>> {
        let is_retry = context.is_retry;
        let process = |delivery| async move {
            faults::point!(WorkerFetched);
            let request = CreateFile::read(value(delivery))?;
            let origin = self.origin(delivery);
            log::debug!(
                file_id = request.file_id.0, attempt = request.attempt.0, partition = origin.partition,
                offset = origin.offset;
                "record received"
            );
            let generated = files::generate(&self.ctx, &request, &origin, is_retry).await?;
            let mut publishing =
                std::pin::pin!(files::publish_result(&self.ctx, &request, &origin, &generated));
            if let Ok(published) = tokio::time::timeout(limits::PARK_AFTER, &mut publishing).await {
                return published;
            }
            // The result waits for one partition, which may have no leader. Without parking, such results would take up
            // all permits, and files whose results go to other partitions would not be generated either.
            tokio::select! {
                published = &mut publishing => return published,
                () = context.park() => {}
            }
            publishing.await
        };
        futures_util::future::join_all(batch.iter().map(process)).await
    }

    /// Publishes the dead letter; then fails the file, if the record names one, with the reason.
    async fn dead_letter(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let file = named_file(value(delivery));
        // In this order: until the file has failed, its request is republished when it gets lost. After a crash in
        // between, the record is dead-lettered once more, with the same id.
        dead_letters::publish(&*self.ctx.broker, delivery, file, error).await?;
        if let Some((file_id, attempt)) = file {
            // A request without an attempt number is the first attempt, as in a readable one.
            let attempt = Some(attempt.unwrap_or_default());
            files::fail(&self.ctx, file_id, attempt, &self.origin(delivery), error).await?;
        }
        Ok(())
    }
}

impl FileCreateHandler {
    fn origin(&self, delivery: &Delivery) -> RequestOrigin {
        let at = &delivery.position;
        RequestOrigin { worker: self.worker.clone(), partition: at.partition, offset: at.offset }
    }
}
