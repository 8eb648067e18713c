//! Publish worker results: how far an attempt got.

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{Broker, Headers, Record};
use crate::domain::messages::file_created::FileResult;
use crate::domain::messages::{headers, topics};
use crate::domain::{Error, EventId, Result};

/// Makes the headers of a record of ours, sorted by name.
pub(crate) fn headers(topic: &str, event_id: EventId) -> Headers {
    let fixed = |text: &'static str| Bytes::from_static(text.as_bytes());
    let event_id = Bytes::from(event_id.to_string());
    if topic == topics::EVENTS {
        return Headers::from([
            (headers::CONTENT_TYPE, fixed(headers::CLOUD_EVENT)),
            (headers::EVENT_ID, event_id),
            (headers::SCHEMA_VERSION, fixed(headers::EVENTS_SCHEMA_VERSION)),
        ]);
    }
    Headers::from([
        (headers::EVENT_ID, event_id),
        (headers::SCHEMA_VERSION, fixed(headers::SCHEMA_VERSION_1)),
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
            headers: headers(topics::CREATED, Uuid::now_v7()),
        })
    };
    publish(broker, topics::CREATED, results.into_iter().map(record).collect::<Result<_>>()?).await
}

/// `Ok`: all of them are there.
pub(crate) async fn publish(broker: &dyn Broker, topic: &str, records: Vec<Record>) -> Result<()> {
    broker.publish(topic, records).await.into_iter().try_for_each(|answer| Ok(answer.map(drop)?))
}
