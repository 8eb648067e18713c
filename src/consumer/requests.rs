//! `file.create` → `files::generate`: what a worker does with a request.

use std::time::Duration;

use async_trait::async_trait;

use super::{Handler, Turn};
use crate::actions::WorkerContext;
use crate::actions::dead_letters;
use crate::actions::files;
use crate::actions::files::RequestOrigin;
use crate::broker::Delivery;
use crate::domain::messages::file_create::CreateFile;
use crate::domain::messages::{MessageError, named_file};
use crate::domain::{Error, ErrorKind, Result};
use crate::faults;

/// Results that take longer to publish are waited for beside the slots.
const ANNOUNCED_WITHIN: Duration = Duration::from_millis(500);

pub struct Requests {
    pub ctx: WorkerContext,
    /// How this worker names itself in results.
    pub worker: String,
}

impl From<MessageError> for Error {
    fn from(error: MessageError) -> Self {
        Self::new(ErrorKind::Malformed, "unreadable_record", error.to_string())
    }
}

#[async_trait]
impl Handler for Requests {
    async fn handle(&self, batch: &[Delivery], turn: &Turn) -> Vec<Result<()>> {
        let again = turn.again;
        let one = |delivery| async move {
            faults::point!(WorkerFetched);
            let request = CreateFile::read(value(delivery))?;
            let origin = self.origin(delivery);
            log::debug!(
                file_id = request.file_id.0, attempt = request.attempt.0, partition = origin.partition,
                offset = origin.offset;
                "record received"
            );
            let made = files::generate(&self.ctx, &request, &origin, again).await?;
            let mut announcing = std::pin::pin!(files::publish_result(&self.ctx, &request, &origin, &made));
            if let Ok(announced) = tokio::time::timeout(ANNOUNCED_WITHIN, &mut announcing).await {
                return announced;
            }
            // Its result waits for one partition; files whose results go to others are made meanwhile.
            tokio::select! {
                announced = &mut announcing => return announced,
                () = turn.step_aside() => {}
            }
            announcing.await
        };
        futures_util::future::join_all(batch.iter().map(one)).await
    }

    /// The record is put aside; then the file, if it names one, fails with the reason. In this order, because a request
    /// whose file has failed is nobody's work any more: who comes after a crash in between puts aside once more.
    async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let file = named_file(value(delivery));
        dead_letters::publish(&*self.ctx.broker, delivery, file, error).await?;
        if let Some((file_id, attempt)) = file {
            // As in a readable one: without an attempt it is the first.
            let attempt = Some(attempt.unwrap_or_default());
            files::fail(&self.ctx, file_id, attempt, &self.origin(delivery), error).await?;
        }
        Ok(())
    }
}

impl Requests {
    fn origin(&self, delivery: &Delivery) -> RequestOrigin {
        let at = &delivery.position;
        RequestOrigin { worker: self.worker.clone(), partition: at.partition, offset: at.offset }
    }
}

pub(super) fn value(delivery: &Delivery) -> Option<&[u8]> {
    delivery.record.value.as_deref()
}
