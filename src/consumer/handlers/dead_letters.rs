//! `file.create.dlq` → `dead_letters::store`: `serve` stores dead letters as rows.

use async_trait::async_trait;

use super::value;
use crate::actions::{DeadLettersContext, dead_letters};
use crate::broker::Delivery;
use crate::consumer::{BatchContext, Handler};
use crate::domain::messages::named_file;
use crate::domain::{Error, Result};

/// Stores dead letters as rows.
pub struct DeadLetterHandler {
    pub ctx: DeadLettersContext,
}

#[async_trait]
impl Handler for DeadLetterHandler {
    async fn handle(&self, batch: &[Delivery], _context: &BatchContext) -> Vec<Result<()>> {
        let file_id = |delivery| named_file(value(delivery)).map(|(file_id, _)| file_id);
        let named: Vec<_> = batch.iter().map(|delivery| (delivery, file_id(delivery))).collect();
        dead_letters::store(&self.ctx, &named).await
    }

    /// Only logs the error: the record is a dead letter already, and stays on its topic.
    async fn dead_letter(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let at = &delivery.position;
        log::error!(
            topic:% = at.topic, partition = at.partition, offset = at.offset, error:% = error.chain();
            "dead letter not stored"
        );
        Ok(())
    }
}
