//! Put a record that can't be processed aside, with its cause, so that those behind it go on.

use uuid::Uuid;

use super::announce;
use crate::broker::{Broker, Delivery, dead_letter};
use crate::domain::message::topic;
use crate::domain::{Attempt, Error, FileId, Result};

/// `Ok` once it is stored: only then may the record's offset be committed.
pub async fn put_aside(
    broker: &dyn Broker,
    delivery: &Delivery,
    file: Option<(FileId, Option<Attempt>)>,
    error: &Error,
) -> Result<()> {
    let file_id = file.map(|(id, _)| id);
    let attempt = file.and_then(|(_, attempt)| attempt);
    let record = dead_letter::dead_letter(Uuid::now_v7(), delivery, file_id, attempt, &error.chain());
    announce::publish_one(broker, topic::DEAD_LETTERS, record).await?;
    log::error!(
        topic:% = delivery.position.topic, partition = delivery.position.partition,
        offset = delivery.position.offset, file_id = file_id.map(|id| id.0), error:% = error.chain();
        "record dead-lettered"
    );
    Ok(())
}
