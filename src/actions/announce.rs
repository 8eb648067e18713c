//! Publish one worker result: how far an attempt got.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Record};
use crate::domain::message::{FileResult, header, topic};
use crate::domain::{Error, EventId, Result};

/// Every record of ours carries these.
pub(super) fn headers(event_id: EventId) -> BTreeMap<String, Bytes> {
    BTreeMap::from([
        (header::EVENT_ID.to_owned(), Bytes::from(event_id.to_string())),
        (header::SCHEMA_VERSION.to_owned(), Bytes::from_static(header::SCHEMA_VERSION_1.as_bytes())),
    ])
}

/// Publishes to `file.created`, keyed by file so that one file's results keep their order.
pub(super) async fn result(broker: &dyn Broker, result: &FileResult) -> Result<()> {
    let value = serde_json::to_vec(result).map_err(|e| Error::internal("unwritable result").because(e))?;
    let record = Record {
        key: Some(Bytes::from(result.file_id.to_string())),
        value: Some(Bytes::from(value)),
        headers: headers(Uuid::now_v7()),
    };
    publish_one(broker, topic::CREATED, record).await
}

pub(super) async fn publish_one(broker: &dyn Broker, topic: &str, record: Record) -> Result<()> {
    let answer = broker.publish(topic, vec![record]).await.into_iter().next();
    answer.unwrap_or_else(|| Err(BrokerError::Unavailable("no answer".to_owned())))?;
    Ok(())
}
