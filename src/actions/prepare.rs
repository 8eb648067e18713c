//! Make what the roles need: schema, topics, bucket. Idempotent, safe when many run at once.

use secrecy::SecretString;

use crate::broker::{Broker, TopicSpec};
use crate::db::migrations;
use crate::domain::Result;
use crate::domain::message::topic;
use crate::storage::Storage;

/// Returns the names of the migrations applied now.
pub async fn schema(url: &SecretString) -> Result<Vec<String>> {
    Ok(migrations::migrate(url).await?)
}

/// Returns the names of the topics made now; existing ones stay as they are.
pub async fn topics(broker: &dyn Broker, partitions: i32) -> Result<Vec<String>> {
    let specs = topic::ALL.map(|name| TopicSpec { name: name.to_owned(), partitions });
    Ok(broker.ensure_topics(&specs).await?)
}

/// True when the bucket was made now.
pub async fn bucket(storage: &Storage) -> Result<bool> {
    Ok(storage.ensure_bucket().await?)
}
