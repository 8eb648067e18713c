//! The rskafka client: it connects lazily, every call has a time limit, and a connection that failed is replaced at the
//! next call.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_ok;
use rskafka::BackoffConfig;
use rskafka::client::ClientBuilder;
use rskafka::client::error::Error;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::prefix::Prefix;
use super::{errors, limits, security};
use crate::broker::{BrokerError, TopicPartition};
use crate::config::KafkaConfig;
use crate::telemetry::Outage;

/// Number of partitions by topic.
pub(super) type Topics = Arc<BTreeMap<String, i32>>;

/// Client of the cluster: one connection for metadata and one for each partition.
pub(super) struct Client {
    config: Arc<KafkaConfig>,
    kafka_client_id: String,
    prefix: Prefix,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Each is a TCP connection of its own to the partition's leader, and outlives the connection that it was made
    /// from.
    partitions: Mutex<HashMap<TopicPartition, Arc<PartitionClient>>>,
    /// The newest list of topics, by which records are placed, and when it was asked for.
    known_topics: Mutex<Option<(Instant, Topics)>>,
    /// The task that renews the list.
    refresh: Mutex<JoinSet<()>>,
    /// Outage of all brokers together, shared with the members of groups: it is logged once for both clients.
    pub outage: Arc<Outage>,
    /// Outage during which brokers refuse the times that we give records.
    pub clock: Outage,
}

/// Connection of one rskafka client, and the list of topics that it has read.
pub(super) struct Connection {
    pub client: rskafka::client::Client,
    pub prefix: Prefix,
    pub replication_factor: Option<i16>,
    topics: tokio::sync::Mutex<Option<(Instant, Topics)>>,
}

impl Client {
    /// Makes a client that connects when it is first needed.
    pub fn new(config: Arc<KafkaConfig>, client_id: &str, prefix: Prefix) -> Self {
        Self {
            config,
            kafka_client_id: client_id.to_owned(),
            prefix,
            connection: tokio::sync::Mutex::default(),
            partitions: Mutex::default(),
            known_topics: Mutex::default(),
            refresh: Mutex::default(),
            outage: Arc::new(Outage::new("kafka unavailable", "kafka recovered")),
            clock: Outage::new(
                "kafka refuses this machine's time; records go without one",
                "kafka accepts this machine's time again",
            ),
        }
    }

    /// Runs `operation` within `limit`, after connecting where needed. `topic` is named in errors.
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
            Ok(_)
            | Err(
                BrokerError::PartitionUnavailable(_)
                | BrokerError::UnknownTopic(_)
                | BrokerError::Rejected(_),
            ) => self.outage.works(),
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
        let connection = self.connected(&self.prefix.add(topic)).await?;
        match timeout(limit, operation(Arc::clone(&connection))).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if errors::breaks_the_client(&error) {
                    self.discard(&connection).await;
                }
                Err(errors::from_rskafka(&self.prefix.add(topic), &error))
            }
            Err(_) => {
                // A connection without an answer may be dead without an error: it must not be used again.
                self.discard(&connection).await;
                Err(too_slow("a request", limit))
            }
        }
    }

    /// Runs `operation` on one partition's leader. A topic that the broker doesn't know is tried again for
    /// `limits::TOPIC_PROPAGATION_TIME`. A failure concerns this partition alone: others keep their connections.
    pub async fn call_partition<T, F>(
        &self,
        at: &TopicPartition,
        limit: Duration,
        operation: impl Fn(Arc<PartitionClient>) -> F + Send + Sync,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let deadline = Instant::now() + limits::TOPIC_PROPAGATION_TIME;
        loop {
            match self.attempt_partition(at, limit, &operation).await {
                Err(BrokerError::UnknownTopic(_)) if Instant::now() < deadline => {
                    sleep(limits::TOPIC_RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt_partition<T, F>(
        &self,
        at: &TopicPartition,
        limit: Duration,
        operation: impl Fn(Arc<PartitionClient>) -> F + Send + Sync,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let known = self.partitions().get(at).cloned();
        let partition = match known {
            Some(partition) => partition,
            None => self.connect_partition(at).await?,
        };
        match timeout(limit, operation(Arc::clone(&partition))).await {
            Ok(Ok(value)) => {
                self.outage.works();
                Ok(value)
            }
            Ok(Err(error)) => {
                // A recreated topic may have another leader, which only a new look-up finds.
                if errors::breaks_the_client(&error) || errors::is_unknown_topic(&error) {
                    self.forget(at, &partition);
                }
                Err(errors::from_rskafka(&self.prefix.add(&at.topic), &error))
            }
            Err(_) => {
                self.forget(at, &partition);
                Err(too_slow("a request", limit))
            }
        }
    }

    /// Connects to the partition's leader, which must confirm that it leads; replaces the former connection.
    pub async fn connect_partition(&self, at: &TopicPartition) -> Result<Arc<PartitionClient>, BrokerError> {
        let topic = self.prefix.add(&at.topic);
        self.partitions().remove(at);
        let connection = self.connected(&topic).await.inspect_err(|error| self.outage.fails(error))?;
        let connecting =
            connection.client.partition_client(topic.clone(), at.partition, UnknownTopicHandling::Error);
        let partition = timeout(limits::LEADER_TIMEOUT, connecting)
            .await
            .map_err(|_| too_slow("connecting to a leader", limits::LEADER_TIMEOUT))?
            .map_err(|error| errors::from_rskafka(&topic, &error))?;
        let partition = Arc::new(partition);
        self.partitions().insert(at.clone(), Arc::clone(&partition));
        Ok(partition)
    }

    fn forget(&self, at: &TopicPartition, failed: &Arc<PartitionClient>) {
        let mut partitions = self.partitions();
        // Another call may have replaced it already.
        if partitions.get(at).is_some_and(|known| Arc::ptr_eq(known, failed)) {
            partitions.remove(at);
        }
    }

    fn partitions(&self) -> MutexGuard<'_, HashMap<TopicPartition, Arc<PartitionClient>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether any broker has answered just now. Logs an outage when none does.
    pub async fn is_reachable(&self) -> bool {
        self.topics(limits::TOPIC_RETRY_PAUSE).await.is_ok()
    }

    /// Returns the number of the topic's partitions, as of a few seconds ago. Waits only for the first answer about a
    /// topic; later ones are fetched in the background, so that a silent broker delays no record.
    pub async fn partition_count(self: &Arc<Self>, topic: &str) -> Result<i32, BrokerError> {
        if let Some(partitions) = self.known_partition_count(topic) {
            return Ok(partitions);
        }
        let deadline = Instant::now() + limits::TOPIC_PROPAGATION_TIME;
        loop {
            if let Some(&partitions) = self.topics(Duration::ZERO).await?.get(topic) {
                return Ok(partitions);
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::UnknownTopic(self.prefix.add(topic)));
            }
            sleep(limits::TOPIC_RETRY_PAUSE).await;
        }
    }

    fn known_partition_count(self: &Arc<Self>, topic: &str) -> Option<i32> {
        let known = self.known_topics.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, topics) = known.as_ref()?;
        let partitions = *topics.get(topic)?;
        let is_old = at.elapsed() >= limits::TOPIC_LIST_MAX_AGE;
        drop(known);
        if is_old {
            self.refresh_topics();
        }
        Some(partitions)
    }

    fn refresh_topics(self: &Arc<Self>) {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        while refresh.try_join_next().is_some() {}
        // At most one at a time, however many records are placed meanwhile.
        if refresh.is_empty() {
            let client = Arc::clone(self);
            // It ends within the time limit of a call, and `call` logs its failure.
            refresh.spawn(async move { drop(client.topics(limits::TOPIC_LIST_MAX_AGE).await) });
        }
    }

    /// Returns the topics as they were at most `max_age` ago.
    pub async fn topics(&self, max_age: Duration) -> Result<Topics, BrokerError> {
        let topics = self
            .call("topics", limits::METADATA_TIMEOUT, async |connection: Arc<Connection>| {
                connection.topics(max_age).await
            })
            .await?;
        let mut known = self.known_topics.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&topics)));
        Ok(topics)
    }

    /// Returns the connection, made now where there is none. `topic` is named in errors.
    async fn connected(&self, topic: &str) -> Result<Arc<Connection>, BrokerError> {
        timeout(limits::METADATA_TIMEOUT, self.connection())
            .await
            .map_err(|_| too_slow("connecting", limits::METADATA_TIMEOUT))?
            .map_err(|error| errors::from_rskafka(topic, &error))
    }

    async fn connection(&self) -> Result<Arc<Connection>, Error> {
        // Held while connecting, so that concurrent calls share one attempt.
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        if security::may_be_refused(&self.config) {
            // First without retries, to learn the cause at once: each retry would count as a failed login, and delay
            // the error.
            self.builder(self.config.brokers.clone(), Duration::ZERO).build().await?;
        }
        let connection = Arc::new(Connection {
            client: self.connect().await?,
            prefix: self.prefix.clone(),
            replication_factor: self.config.replication_factor,
            topics: tokio::sync::Mutex::default(),
        });
        *current = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Asks the brokers of the list for the cluster's metadata, staggered, until one answers: rskafka would wait for
    /// the first one without a limit.
    async fn connect(&self) -> Result<rskafka::client::Client, Error> {
        static NEXT_FIRST: AtomicUsize = AtomicUsize::new(0);
        let mut brokers = self.config.brokers.clone();
        if brokers.is_empty() {
            return self.builder(brokers, limits::CLIENT_RETRY_TIMEOUT).build().await;
        }
        // Each connection begins with another broker, so that one that is down doesn't delay all of them.
        let first = NEXT_FIRST.fetch_add(1, Ordering::Relaxed) % brokers.len();
        brokers.rotate_left(first);
        let attempts = brokers.into_iter().zip(0..).map(|(broker, place): (String, u32)| {
            let builder = self.builder(vec![broker], limits::CLIENT_RETRY_TIMEOUT);
            Box::pin(async move {
                sleep(place * limits::NEXT_BROKER_DELAY).await;
                builder.build().await
            })
        });
        select_ok(attempts).await.map(|(client, _)| client)
    }

    fn builder(&self, brokers: Vec<String>, retries: Duration) -> ClientBuilder {
        let builder = ClientBuilder::new(brokers).client_id(self.kafka_client_id.as_str()).backoff_config(
            BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(100),
                base: 3.0,
                deadline: Some(retries),
            },
        );
        security::rskafka(builder, &self.config)
    }

    /// Discards the connection, unless another call has replaced it already.
    async fn discard(&self, failed: &Arc<Connection>) {
        let mut current = self.connection.lock().await;
        if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, failed)) {
            *current = None;
        }
    }
}

impl Connection {
    /// Returns the topics as they were at most `max_age` ago. Listing them also refreshes the metadata in which rskafka
    /// looks up leaders, so that every partition listed can be used.
    pub async fn topics(&self, max_age: Duration) -> Result<Topics, Error> {
        // Held during the request, so that concurrent calls share one answer.
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
