//! The rskafka client: connects lazily, every call has a time limit, one that failed is replaced at the next call.

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
use super::{errors, limit, security};
use crate::broker::{BrokerError, TopicPartition};
use crate::config::KafkaConfig;
use crate::telemetry::Outage;

/// Number of partitions by topic.
pub(super) type Topics = Arc<BTreeMap<String, i32>>;

/// How old the list of topics may be when records are placed, and so how soon added partitions are used.
const TOPICS_MAX_AGE: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long one broker of the list may be silent before the next one is asked as well.
const NEXT_BROKER: Duration = Duration::from_millis(300);

pub(super) struct Client {
    config: Arc<KafkaConfig>,
    known_as: String,
    prefix: Prefix,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Each is a TCP connection of its own to the partition's leader, and outlives the connection it was made from.
    partitions: Mutex<HashMap<TopicPartition, Arc<PartitionClient>>>,
    /// What records are placed by: the newest list of topics, and when it was asked for.
    known_topics: Mutex<Option<(Instant, Topics)>>,
    /// The task that renews the list.
    refresh: Mutex<JoinSet<()>>,
    /// Outage of all brokers together; the group members know it too.
    pub outage: Arc<Outage>,
    /// Whether brokers take the times that we give records.
    pub clock: Outage,
}

/// Connection of one rskafka client, with what it knows.
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
            known_as: client_id.to_owned(),
            prefix,
            connection: tokio::sync::Mutex::default(),
            partitions: Mutex::default(),
            known_topics: Mutex::default(),
            refresh: Mutex::default(),
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
                self.discard(&connection).await;
                Err(too_slow("a request", limit))
            }
        }
    }

    /// Runs `operation` on one partition's leader. A topic unknown to the broker is asked for again for
    /// `limit::APPEARS`. A failure concerns this partition alone: others keep their connections.
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
            match self.attempt_partition(at, limit, &operation).await {
                Err(BrokerError::UnknownTopic(_)) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
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

    /// Connects to the partition's leader, which must say that it is, in place of the connection there was.
    pub async fn connect_partition(&self, at: &TopicPartition) -> Result<Arc<PartitionClient>, BrokerError> {
        let topic = self.prefix.add(&at.topic);
        self.partitions().remove(at);
        let connection = self.connected(&topic).await.inspect_err(|error| self.outage.fails(error))?;
        let connecting =
            connection.client.partition_client(topic.clone(), at.partition, UnknownTopicHandling::Error);
        let partition = timeout(limit::LEADER, connecting)
            .await
            .map_err(|_| too_slow("connecting to a leader", limit::LEADER))?
            .map_err(|error| errors::from_rskafka(&topic, &error))?;
        let partition = Arc::new(partition);
        self.partitions().insert(at.clone(), Arc::clone(&partition));
        Ok(partition)
    }

    fn forget(&self, at: &TopicPartition, failed: &Arc<PartitionClient>) {
        let mut partitions = self.partitions();
        if partitions.get(at).is_some_and(|known| Arc::ptr_eq(known, failed)) {
            partitions.remove(at);
        }
    }

    fn partitions(&self) -> MutexGuard<'_, HashMap<TopicPartition, Arc<PartitionClient>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any broker answers, as of a moment ago. Says so when none does.
    pub async fn is_reachable(&self) -> bool {
        self.topics(RETRY_PAUSE).await.is_ok()
    }

    /// How many partitions the topic has, as of a few seconds ago. Waits only for the first answer about a topic; later
    /// ones come in the background, so that a broker that is silent holds up no record.
    pub async fn partition_count(self: &Arc<Self>, topic: &str) -> Result<i32, BrokerError> {
        if let Some(partitions) = self.known_partition_count(topic) {
            return Ok(partitions);
        }
        let deadline = Instant::now() + limit::APPEARS;
        loop {
            if let Some(&partitions) = self.topics(Duration::ZERO).await?.get(topic) {
                return Ok(partitions);
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::UnknownTopic(self.prefix.add(topic)));
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    fn known_partition_count(self: &Arc<Self>, topic: &str) -> Option<i32> {
        let known = self.known_topics.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, topics) = known.as_ref()?;
        let partitions = *topics.get(topic)?;
        let is_old = at.elapsed() >= TOPICS_MAX_AGE;
        drop(known);
        if is_old {
            self.refresh_topics();
        }
        Some(partitions)
    }

    fn refresh_topics(self: &Arc<Self>) {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        while refresh.try_join_next().is_some() {}
        if refresh.is_empty() {
            let client = Arc::clone(self);
            // Ends within the limits of a call, whatever it comes to; its failure has been said then.
            refresh.spawn(async move { drop(client.topics(TOPICS_MAX_AGE).await) });
        }
    }

    /// Returns the topics as they were at most `max_age` ago.
    pub async fn topics(&self, max_age: Duration) -> Result<Topics, BrokerError> {
        let topics = self
            .call("topics", limit::METADATA, async |connection: Arc<Connection>| {
                connection.topics(max_age).await
            })
            .await?;
        let mut known = self.known_topics.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&topics)));
        Ok(topics)
    }

    /// `topic` is for the error's text.
    async fn connected(&self, topic: &str) -> Result<Arc<Connection>, BrokerError> {
        timeout(limit::METADATA, self.connection())
            .await
            .map_err(|_| too_slow("connecting", limit::METADATA))?
            .map_err(|error| errors::from_rskafka(topic, &error))
    }

    async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        if security::may_be_refused(&self.config) {
            // Once, to learn at once why: with retries each would count as a failed login, and take too long to tell.
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

    /// Asks each broker of the list for the others, one a moment after the other until one answers: rskafka would wait
    /// for the first without a limit.
    async fn connect(&self) -> Result<rskafka::client::Client, Error> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let mut brokers = self.config.brokers.clone();
        if brokers.is_empty() {
            return self.builder(brokers, limit::RETRIES).build().await;
        }
        let first = TURN.fetch_add(1, Ordering::Relaxed) % brokers.len();
        brokers.rotate_left(first);
        let attempts = brokers.into_iter().zip(0..).map(|(broker, place): (String, u32)| {
            let builder = self.builder(vec![broker], limit::RETRIES);
            Box::pin(async move {
                sleep(place * NEXT_BROKER).await;
                builder.build().await
            })
        });
        select_ok(attempts).await.map(|(client, _)| client)
    }

    fn builder(&self, brokers: Vec<String>, retries: Duration) -> ClientBuilder {
        let builder =
            ClientBuilder::new(brokers).client_id(self.known_as.as_str()).backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(100),
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
