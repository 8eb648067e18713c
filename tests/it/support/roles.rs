//! The parts of `serve` and `worker` in this process, for tests that publish records themselves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filesys::actions::create_queue::CreateRequest;
use filesys::actions::dead_letters;
use filesys::actions::files;
use filesys::actions::{ServeContext, WorkerContext, provision};
use filesys::broker::local::LocalBroker;
use filesys::broker::{Broker, Delivery, Membership, Position, Record, TopicSpec};
use filesys::consumer::handlers::dead_letters::DeadLetterHandler;
use filesys::consumer::handlers::file_create::FileCreateHandler;
use filesys::consumer::handlers::file_created::FileCreatedHandler;
use filesys::consumer::{Handler, Settings, runner};
use filesys::domain::messages::topics;
use filesys::domain::{DeadLetter, DeadLetterPageRequest, File, FileId, NewFile};
use filesys::jobs::{commit_requests, relay_outbox, remove_objects};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Bucket, Database, SharedKafka, events, eventually, holds, records};

const DEADLINE: Duration = Duration::from_hours(1);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Parts of the roles; each test starts those it needs.
pub struct Roles {
    pub ctx: ServeContext,
    pub broker: Arc<dyn Broker>,
    pub bucket: Bucket,
    pub database: Database,
    /// Its topics go with it.
    _kafka: Option<SharedKafka>,
    queue: Option<mpsc::Receiver<CreateRequest>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Roles {
    /// Prepares everything without starting a part.
    pub async fn new() -> Self {
        Self::without_topics(&[]).await
    }

    /// Prepares everything but some topics.
    pub async fn without_topics(missing: &[&str]) -> Self {
        Self::on(Database::migrated().await, missing).await
    }

    /// Prepares a used database with a new broker and bucket.
    pub async fn on(database: Database, missing: &[&str]) -> Self {
        let bucket = Bucket::named_uniquely();
        let kafka = SharedKafka::named();
        let broker: Arc<dyn Broker> = match &kafka {
            Some(kafka) => Arc::new(kafka.client()),
            None => Arc::new(LocalBroker::default()),
        };
        let there = topics::ALL.iter().filter(|name| !missing.contains(name));
        let specs: Vec<TopicSpec> =
            there.map(|name| TopicSpec { name: (*name).to_owned(), partitions: 3 }).collect();
        broker.ensure_topics(&specs).await.unwrap();
        let storage = bucket.made().await;
        let (ctx, queue) = ServeContext::new(database.pool(), Arc::clone(&broker), storage, DEADLINE);
        Self {
            ctx,
            broker,
            bucket,
            database,
            _kafka: kafka,
            queue: Some(queue),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub async fn make_topics(&self) {
        self.make_topics_with(None).await;
    }

    /// Makes the topics that are missing, with the one of `FILE_EVENTS_COMPAT_TOPIC`.
    pub async fn make_topics_with(&self, compat: Option<&str>) {
        provision::topics(&*self.broker, 3, compat).await.unwrap();
    }

    /// Starts the job that commits requests.
    pub fn with_intake(mut self) -> Self {
        let queue = self.queue.take().expect("there is one intake");
        self.tasks.spawn(commit_requests::run(self.ctx.clone(), queue, self.stop.clone()));
        self
    }

    /// Starts the relay of the outbox.
    pub fn with_relay(self) -> Self {
        self.tasks.spawn(relay_outbox::run(self.ctx.clone(), Duration::from_secs(1), self.stop.clone()));
        self
    }

    /// Starts the removal of objects.
    pub fn with_removals(self) -> Self {
        self.tasks.spawn(remove_objects::run(self.ctx.clone(), Duration::from_secs(5), self.stop.clone()));
        self
    }

    /// Starts a worker.
    pub async fn with_worker(self) -> Self {
        self.with_worker_of(8, 2).await
    }

    /// Starts a worker with this concurrency and number of tries.
    pub async fn with_worker_of(self, concurrency: usize, max_tries: u32) -> Self {
        self.with_any_worker(Duration::ZERO, concurrency, max_tries).await
    }

    /// Starts a worker with a processing delay.
    pub async fn with_slow_worker(self, delay: Duration) -> Self {
        self.with_any_worker(delay, 8, 2).await
    }

    async fn with_any_worker(self, processing_delay: Duration, concurrency: usize, max_tries: u32) -> Self {
        let (broker, storage) = (Arc::clone(&self.ctx.broker), self.ctx.storage.clone());
        let making = Arc::new(Semaphore::new(concurrency));
        let ctx = WorkerContext { broker, storage, making, processing_delay };
        let worker = "the-worker".to_owned();
        self.consume(topics::CREATE, FileCreateHandler { ctx, worker }, (concurrency, 1, max_tries)).await
    }

    /// Starts the consumer of results.
    pub async fn with_results(self) -> Self {
        let ctx = self.ctx.clone();
        self.consume(topics::CREATED, FileCreatedHandler { ctx }, (1, 500, 2)).await
    }

    /// Starts the consumer that stores dead letters as rows.
    pub async fn with_dead_letters(self) -> Self {
        let ctx = self.ctx.dead_letters();
        self.consume(topics::DEAD_LETTERS, DeadLetterHandler { ctx }, (1, 20, 2)).await
    }

    /// Starts a consumer as the commands do.
    async fn consume(
        self,
        topic: &str,
        handler: impl Handler,
        (concurrency, batch, max_tries): (usize, usize, u32),
    ) -> Self {
        let limit = Duration::from_secs(10);
        let settings = Settings {
            permits: Arc::new(Semaphore::new(concurrency)),
            batch_size: batch,
            max_tries,
            revoke_timeout: limit,
            drain_timeout: limit,
            finish_backlog: false,
            min_batch_interval: Duration::ZERO,
        };
        let membership = Membership {
            group: group_of(topic),
            client_id: group_of(topic),
            topics: vec![topic.to_owned()],
            session_timeout: SESSION_TIMEOUT,
        };
        let member = self.broker.join(membership).await.unwrap();
        self.tasks.spawn(runner::run(member, Arc::new(handler), settings, self.stop.clone()));
        self
    }

    pub async fn request(&self, title: &str) -> File {
        let new = NewFile::new(Some(title), None, None).unwrap();
        files::create(&self.ctx, new, None).await.unwrap().file
    }

    pub async fn file(&self, id: FileId) -> File {
        self.ctx.db.files().get(id).await.unwrap().expect("the file is in the table")
    }

    pub async fn publish(&self, topic: &str, value: Option<&[u8]>) -> Position {
        let record = Record { value: value.map(Bytes::copy_from_slice), ..Record::default() };
        let mut positions = self.broker.publish(topic, vec![record]).await;
        positions.remove(0).unwrap()
    }

    /// Reads every record of a topic.
    pub async fn records(&self, topic: &str) -> Vec<Delivery> {
        records::records(&*self.broker, topic).await.unwrap()
    }

    /// Waits until a topic has `count` records.
    pub async fn wait_until_published(&self, topic: &str, count: usize) {
        eventually(&format!("{topic} has {count} records"), async || {
            let records = self.records(topic).await;
            holds(records.len() == count, records.len())
        })
        .await;
    }

    /// Waits until there are `count` dead letters in this state, and returns them, newest first.
    pub async fn dead_letters(&self, state: &str, count: usize) -> Vec<DeadLetter> {
        let request = DeadLetterPageRequest::new(Some("200"), None, Some(state), None).unwrap();
        eventually(&format!("{count} dead letters are {state}"), async || {
            let page = dead_letters::list(&self.ctx.dead_letters(), &request).await.unwrap();
            if page.dead_letters.len() == count { Ok(page.dead_letters) } else { Err(format!("{page:#?}")) }
        })
        .await
    }

    /// Waits until the topic's group has committed the end of every partition.
    pub async fn wait_until_all_is_committed(&self, topic: &str) {
        eventually(&format!("all of {topic} is committed"), async || {
            let marks = self.broker.watermarks(topic).await.map_err(|error| error.to_string())?;
            let committed = self.broker.committed(&group_of(topic), topic).await;
            let committed = committed.map_err(|error| error.to_string())?;
            let next = |partition| committed.get(&partition).copied().unwrap_or(0);
            let left = marks.iter().filter(|marks| next(marks.partition) < marks.high).count();
            holds(left == 0, (left, marks))
        })
        .await;
    }

    /// Stops every part and waits for it; the rows stay. Every event that was published or is in the outbox must be as its
    /// schema says.
    pub async fn stop(self) -> Database {
        self.stop_tasks().await;
        // The topic may be missing.
        let published = records::records(&*self.broker, topics::EVENTS).await.unwrap_or_default();
        for delivery in &published {
            events::event(delivery);
        }
        let waiting = "SELECT value FROM outbox WHERE topic = 'file.events'";
        for row in self.database.connect().await.query(waiting, &[]).await.unwrap() {
            events::checked(row.get(0));
        }
        self.database
    }

    /// Stops every part and keeps database, broker and bucket.
    pub async fn stop_tasks(&self) {
        self.stop.cancel();
        self.tasks.close();
        super::within(super::PATIENCE, "the roles end", self.tasks.wait()).await;
    }
}

pub fn group_of(topic: &str) -> String {
    format!("{topic}-group")
}
