//! `file.create.dlq` → `dead_letters::store`: what `serve` does with records that were put aside.

use async_trait::async_trait;

use super::requests::value;
use super::{Handler, Turn};
use crate::actions::DeadLettersContext;
use crate::actions::dead_letters;
use crate::broker::Delivery;
use crate::domain::messages::named_file;
use crate::domain::{Error, Result};

pub struct Letters {
    pub ctx: DeadLettersContext,
}

#[async_trait]
impl Handler for Letters {
    async fn handle(&self, batch: &[Delivery], _turn: &Turn) -> Vec<Result<()>> {
        let named = |delivery| named_file(value(delivery)).map(|(file_id, _)| file_id);
        let letters: Vec<_> = batch.iter().map(|delivery| (delivery, named(delivery))).collect();
        dead_letters::store(&self.ctx, &letters).await
    }

    /// It lies on the topic of the dead letters already: there is no place further aside.
    async fn give_up(&self, delivery: &Delivery, error: &Error) -> Result<()> {
        let at = &delivery.position;
        log::error!(
            topic:% = at.topic, partition = at.partition, offset = at.offset, error:% = error.chain();
            "dead letter not kept as a row"
        );
        Ok(())
    }
}
