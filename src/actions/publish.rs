//! Publish worker results: how far an attempt got.

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{Broker, Headers, Record};
use crate::domain::messages::file_created::FileResult;
use crate::domain::messages::{headers, topics};
use crate::domain::{Error, EventId, Result};

/// Every record of ours carries these.
pub(crate) fn headers(event_id: EventId) -> Headers {
    Headers::from([
        (headers::EVENT_ID, Bytes::from(event_id.to_string())),
        (headers::SCHEMA_VERSION, Bytes::from_static(headers::SCHEMA_VERSION_1.as_bytes())),
    ])
}

/// Publishes to `file.created`, keyed by file so that one file's results keep their order. `Ok`: all of them are there.
pub(crate) async fn results(
    broker: &dyn Broker,
    results: impl IntoIterator<Item = &FileResult>,
) -> Result<()> {
    let record = |result: &FileResult| {
        let value =
            serde_json::to_vec(result).map_err(|e| Error::internal("unwritable result").because(e))?;
        Ok(Record {
            key: Some(Bytes::from(result.file_id.to_string())),
            value: Some(Bytes::from(value)),
            headers: headers(Uuid::now_v7()),
        })
    };
    publish(broker, topics::CREATED, results.into_iter().map(record).collect::<Result<_>>()?).await
}

/// `Ok`: all of them are there.
pub(crate) async fn publish(broker: &dyn Broker, topic: &str, records: Vec<Record>) -> Result<()> {
    broker.publish(topic, records).await.into_iter().try_for_each(|answer| Ok(answer.map(drop)?))
}
