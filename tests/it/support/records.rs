//! Records as tests look at them: everything that a topic keeps, headers as text, where a dead letter comes from.

use filesys::broker::{Broker, BrokerError, Delivery, Position};

/// Every record that the topic still keeps, partition by partition.
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

/// Where the record lay that became this dead letter.
pub fn origin(letter: &Delivery) -> Position {
    Position {
        topic: header(letter, "x-original-topic").into(),
        partition: header(letter, "x-original-partition").parse().unwrap(),
        offset: header(letter, "x-original-offset").parse().unwrap(),
    }
}
