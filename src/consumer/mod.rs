//! The entry point for Kafka records: topic → handler. It only translates, then calls a use case.

mod batch;
pub mod disposition;
pub mod handlers;
pub mod health;
mod in_flight;
mod limits;
mod retry;
pub mod runner;
mod watermark;

use async_trait::async_trait;

use crate::broker::Delivery;
use crate::domain::Error;

pub use batch::BatchContext;
pub use runner::Settings;

/// Processing of the records of one topic.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch and returns one outcome for each record, in order. `Ok` allows the record's offset to be
    /// committed.
    async fn handle(&self, batch: &[Delivery], context: &BatchContext) -> Vec<Result<(), Error>>;

    /// Dead-letters a record that can't be handled. `Ok` means that nothing is lost when its offset is committed.
    async fn dead_letter(&self, delivery: &Delivery, error: &Error) -> Result<(), Error>;
}
