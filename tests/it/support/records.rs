//! Records for assertions: whole topics, headers as text, origins of dead letters.

use filesys::broker::{Broker, BrokerError, Delivery, Position};

/// Reads every record of a topic, partition by partition.
pub async fn records(broker: &dyn Broker, topic: &str) -> Result<Vec<Delivery>, BrokerError> {
    let mut records = Vec::new();
    for marks in broker.watermarks(topic).await? {
        let from = Position { topic: topic.into(), partition: marks.partition, offset: marks.low };
        records.extend(broker.read(&from, usize::MAX).await?);
    }
    Ok(records)
}

pub fn header<'a>(delivery: &'a Delivery, name: &str) -> &'a str {
    let value = delivery.record.headers.get(name);
    let value = value.unwrap_or_else(|| panic!("no header {name}: {delivery:?}"));
    std::str::from_utf8(value).unwrap()
}

/// Position of the record that became this dead letter.
pub fn origin(dead_letter: &Delivery) -> Position {
    Position {
        topic: header(dead_letter, "x-original-topic").into(),
        partition: header(dead_letter, "x-original-partition").parse().unwrap(),
        offset: header(dead_letter, "x-original-offset").parse().unwrap(),
    }
}
