//! The rskafka client: connects lazily, every call has a time limit, one that failed is replaced at the next call.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::error::Error;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use tokio::time::{Instant, sleep, timeout};

use super::prefix::Prefix;
use super::{errors, limit, security};
use crate::broker::{BrokerError, TopicPartition};
use crate::config::KafkaConfig;
use crate::telemetry::Outage;

/// Number of partitions by topic.
pub(super) type Topics = Arc<BTreeMap<String, i32>>;

/// How old the list of topics may be when records are placed, and so how soon added partitions are used.
const TOPICS_MAX_AGE: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Client {
    config: Arc<KafkaConfig>,
    known_as: String,
    prefix: Prefix,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Of all brokers together; the group members know it too.
    pub outage: Arc<Outage>,
    /// Whether brokers take the times that we give records.
    pub clock: Outage,
}

/// One rskafka client with what it knows. A `PartitionClient` is a TCP connection of its own.
pub(super) struct Connection {
    pub client: rskafka::client::Client,
    pub prefix: Prefix,
    partitions: Mutex<HashMap<TopicPartition, Arc<PartitionClient>>>,
    topics: tokio::sync::Mutex<Option<(Instant, Topics)>>,
}

impl Client {
    pub fn new(config: Arc<KafkaConfig>, client_id: &str, prefix: Prefix) -> Self {
        Self {
            config,
            known_as: client_id.to_owned(),
            prefix,
            connection: tokio::sync::Mutex::default(),
            outage: Arc::new(Outage::new("kafka is away", "kafka is back")),
            clock: Outage::new(
                "kafka refuses this machine's time; records go without one",
                "kafka takes this machine's time again",
            ),
        }
    }

    /// Runs `operation` within `limit`, after connecting where needed. `topic` is for the error's text.
    pub async fn call<T, F>(
        &self,
        topic: &str,
        limit: Duration,
        operation: impl FnOnce(Arc<Connection>) -> F + Send,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let outcome = self.attempt(topic, limit, operation).await;
        match &outcome {
            Err(error @ (BrokerError::Unavailable(_) | BrokerError::Configuration(_))) => {
                self.outage.fails(error);
            }
            Ok(_) | Err(BrokerError::UnknownTopic(_) | BrokerError::Rejected(_)) => self.outage.works(),
        }
        outcome
    }

    async fn attempt<T, F>(
        &self,
        topic: &str,
        limit: Duration,
        operation: impl FnOnce(Arc<Connection>) -> F + Send,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let connection = timeout(limit::METADATA, self.connection())
            .await
            .map_err(|_| too_slow("connecting", limit::METADATA))?
            .map_err(|error| errors::from_rskafka(&self.prefix.add(topic), &error))?;
        match timeout(limit, operation(Arc::clone(&connection))).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if errors::breaks_the_client(&error) {
                    self.discard(&connection).await;
                }
                Err(errors::from_rskafka(&self.prefix.add(topic), &error))
            }
            Err(_) => {
                self.discard(&connection).await;
                Err(too_slow("a request", limit))
            }
        }
    }

    /// As `call`, for one partition. A topic unknown to the broker is asked for again for `limit::APPEARS`.
    pub async fn call_partition<T, F>(
        &self,
        at: &TopicPartition,
        limit: Duration,
        operation: impl Fn(Arc<PartitionClient>) -> F + Send + Sync,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let deadline = Instant::now() + limit::APPEARS;
        loop {
            let outcome = self
                .call(&at.topic, limit, async |connection: Arc<Connection>| {
                    let outcome = operation(connection.partition(at).await?).await;
                    if outcome.as_ref().is_err_and(errors::is_unknown_topic) {
                        connection.forget(at);
                    }
                    outcome
                })
                .await;
            match outcome {
                Err(BrokerError::UnknownTopic(_)) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// How many partitions the topic has, as of a few seconds ago.
    pub async fn partition_count(&self, topic: &str) -> Result<i32, BrokerError> {
        let deadline = Instant::now() + limit::APPEARS;
        let mut max_age = TOPICS_MAX_AGE;
        loop {
            if let Some(&partitions) = self.topics(max_age).await?.get(topic) {
                return Ok(partitions);
            }
            if max_age.is_zero() {
                if Instant::now() >= deadline {
                    return Err(BrokerError::UnknownTopic(self.prefix.add(topic)));
                }
                sleep(RETRY_PAUSE).await;
            }
            max_age = Duration::ZERO;
        }
    }

    pub async fn topics(&self, max_age: Duration) -> Result<Topics, BrokerError> {
        self.call("topics", limit::METADATA, async |connection: Arc<Connection>| {
            connection.topics(max_age).await
        })
        .await
    }

    async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        if security::may_be_refused(&self.config) {
            // Once, to learn at once why: with retries each would count as a failed login, and take too long to tell.
            self.builder(Duration::ZERO).build().await?;
        }
        let client = self.builder(limit::RETRIES).build().await?;
        let connection = Arc::new(Connection {
            client,
            prefix: self.prefix.clone(),
            partitions: Mutex::default(),
            topics: tokio::sync::Mutex::default(),
        });
        *current = Some(Arc::clone(&connection));
        Ok(connection)
    }

    fn builder(&self, retries: Duration) -> ClientBuilder {
        let builder = ClientBuilder::new(self.config.brokers.clone())
            .client_id(self.known_as.as_str())
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 3.0,
                deadline: Some(retries),
            });
        security::rskafka(builder, &self.config)
    }

    /// Unless another call has replaced it already.
    async fn discard(&self, failed: &Arc<Connection>) {
        let mut current = self.connection.lock().await;
        if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, failed)) {
            *current = None;
        }
    }
}

impl Connection {
    async fn partition(&self, at: &TopicPartition) -> Result<Arc<PartitionClient>, Error> {
        let known = self.partitions().get(at).cloned();
        if let Some(partition) = known {
            return Ok(partition);
        }
        let topic = self.prefix.add(&at.topic);
        let partition =
            self.client.partition_client(topic, at.partition, UnknownTopicHandling::Error).await?;
        let mut partitions = self.partitions();
        let partition = partitions.entry(at.clone()).or_insert(Arc::new(partition));
        Ok(Arc::clone(partition))
    }

    fn forget(&self, at: &TopicPartition) {
        self.partitions().remove(at);
    }

    fn partitions(&self) -> std::sync::MutexGuard<'_, HashMap<TopicPartition, Arc<PartitionClient>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Also renews the metadata from which rskafka finds leaders, so partitions listed here can be used.
    pub async fn topics(&self, max_age: Duration) -> Result<Topics, Error> {
        let mut known = self.topics.lock().await;
        if let Some((at, topics)) = &*known
            && at.elapsed() < max_age
        {
            return Ok(Arc::clone(topics));
        }
        let listed = self.client.list_topics().await?;
        let topics = listed.iter().filter_map(|topic| {
            Some((self.prefix.strip(&topic.name)?.to_owned(), topic.partitions.last()? + 1))
        });
        let topics = Topics::new(topics.collect());
        *known = Some((Instant::now(), Arc::clone(&topics)));
        Ok(topics)
    }
}

fn too_slow(what: &str, limit: Duration) -> BrokerError {
    BrokerError::Unavailable(format!("{what} took longer than {} s", limit.as_secs()))
}
