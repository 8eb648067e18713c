//! Put a record that can't be processed aside, with its cause, so that those behind it go on.

use crate::actions::publish;
use crate::broker::{Broker, Delivery, dead_letter};
use crate::domain::messages::topics;
use crate::domain::{Attempt, Error, ErrorKind, FileId, Result};
use crate::faults;

/// `Ok` once it is stored: only then may the record's offset be committed. One whose value leaves no room for the cause
/// is put aside without the value.
pub async fn publish(
    broker: &dyn Broker,
    delivery: &Delivery,
    file: Option<(FileId, Option<Attempt>)>,
    error: &Error,
) -> Result<()> {
    let file_id = file.map(|(id, _)| id);
    let attempt = file.and_then(|(_, attempt)| attempt);
    let id = dead_letter::identity(delivery);
    let record = dead_letter::dead_letter(id, delivery, file_id, attempt, &error.chain());
    match publish::publish(broker, topics::DEAD_LETTERS, vec![record.clone()]).await {
        Err(refused) if refused.kind != ErrorKind::Unavailable && record.value.is_some() => {
            let size = record.value.map_or(0, |value| value.len());
            let cause = format!("(its value of {size} bytes is too long to be kept here) {}", error.chain());
            let mut record = dead_letter::dead_letter(id, delivery, file_id, attempt, &cause);
            record.value = None;
            publish::publish(broker, topics::DEAD_LETTERS, vec![record]).await?;
        }
        answer => answer?,
    }
    faults::point!(DeadLetterPublished);
    log::error!(
        topic:% = delivery.position.topic, partition = delivery.position.partition,
        offset = delivery.position.offset, file_id = file_id.map(|id| id.0), error:% = error.chain();
        "record dead-lettered"
    );
    Ok(())
}
