//! `file.created` → `files::record_results`: `serve` records the results of workers.

use async_trait::async_trait;

use super::value;
use crate::actions::{ServeContext, dead_letters, files};
use crate::broker::Delivery;
use crate::consumer::{BatchContext, Handler};
use crate::domain::messages::file_created::FileResult;
use crate::domain::messages::named_file;
use crate::domain::{Error, Result};

/// Records the results of workers.
pub struct FileCreatedHandler {
    pub ctx: ServeContext,
}

#[async_trait]
impl Handler for FileCreatedHandler {
    async fn handle(&self, batch: &[Delivery], _context: &BatchContext) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(batch.len());
        let mut outcomes: Vec<Result<()>> = Vec::with_capacity(batch.len());
        let mut indexes = Vec::with_capacity(batch.len());
        for (index, delivery) in batch.iter().enumerate() {
            let read = FileResult::read(value(delivery)).map_err(Error::from);
            outcomes.push(read.map(|result| {
                results.push(result);
                indexes.push(index);
            }));
        }
        // All readable results in one transaction; an unreadable one fails alone.
        let recorded = files::record_results(&self.ctx, results).await;
        for (index, outcome) in indexes.into_iter().zip(recorded) {
            outcomes[index] = outcome;
        }
        outcomes
    }

    async fn dead_letter(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let file = named_file(value(delivery));
        dead_letters::publish(&*self.ctx.broker, delivery, file, error).await
    }
}
