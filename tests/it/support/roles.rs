//! The roles in this process on an in-process broker, for tests that put records on topics by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filesys::actions::{ServeContext, WorkerContext, prepare, relay_outbox, remove_objects, request_file};
use filesys::broker::local::LocalBroker;
use filesys::broker::{Broker, Delivery, Membership, Position, Record, TopicSpec};
use filesys::consumer::requests::Requests;
use filesys::consumer::results::Results;
use filesys::consumer::{Handler, Settings, runner};
use filesys::domain::message::topic;
use filesys::domain::{File, FileId, NewFile};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Bucket, Database, eventually, holds};

const DEADLINE: Duration = Duration::from_hours(1);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// What `serve` is made of; which parts run is up to the test.
pub struct Roles {
    pub ctx: ServeContext,
    pub broker: LocalBroker,
    pub bucket: Bucket,
    pub database: Database,
    queue: Option<mpsc::Receiver<request_file::Intake>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Roles {
    /// Nothing runs yet.
    pub async fn new() -> Self {
        Self::without_topics(&[]).await
    }

    /// Some topics are missing.
    pub async fn without_topics(missing: &[&str]) -> Self {
        let database = Database::migrated().await;
        let bucket = Bucket::named_uniquely();
        let broker = LocalBroker::default();
        let there = topic::ALL.iter().filter(|name| !missing.contains(name));
        let specs: Vec<TopicSpec> =
            there.map(|name| TopicSpec { name: (*name).to_owned(), partitions: 3 }).collect();
        broker.ensure_topics(&specs).await.unwrap();
        let shared: Arc<dyn Broker> = Arc::new(broker.clone());
        let storage = bucket.made().await;
        let (ctx, queue) = ServeContext::new(database.pool(), shared, storage, DEADLINE);
        Self {
            ctx,
            broker,
            bucket,
            database,
            queue: Some(queue),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub async fn make_topics(&self) {
        prepare::topics(&self.broker, 3).await.unwrap();
    }

    /// Requests are stored.
    pub fn with_intake(mut self) -> Self {
        let queue = self.queue.take().expect("there is one intake");
        self.tasks.spawn(request_file::run(self.ctx.clone(), queue, self.stop.clone()));
        self
    }

    /// What is stored is published.
    pub fn with_relay(self) -> Self {
        self.tasks.spawn(relay_outbox::run(self.ctx.clone(), self.stop.clone()));
        self
    }

    /// Objects that no row names go.
    pub fn with_removals(self) -> Self {
        self.tasks.spawn(remove_objects::run(self.ctx.clone(), self.stop.clone()));
        self
    }

    /// Requests become files.
    pub async fn with_worker(self) -> Self {
        let ctx = WorkerContext {
            broker: Arc::clone(&self.ctx.broker),
            storage: self.ctx.storage.clone(),
            processing_delay: Duration::ZERO,
        };
        let worker = "the-worker".to_owned();
        self.consume("workers", topic::CREATE, Requests { ctx, worker }, (8, 1)).await
    }

    /// What workers say is recorded.
    pub async fn with_results(self) -> Self {
        let ctx = self.ctx.clone();
        self.consume("recorders", topic::CREATED, Results { ctx }, (1, 500)).await
    }

    /// As the commands do it: so many batches at once of so many records.
    async fn consume(
        self,
        group: &str,
        topic: &str,
        handler: impl Handler,
        (concurrency, batch): (usize, usize),
    ) -> Self {
        let limit = Duration::from_secs(10);
        let settings = Settings {
            concurrency,
            batch,
            max_tries: 2,
            give_back: limit,
            drain: limit,
            finish_backlog: false,
        };
        let membership = Membership {
            group: group.to_owned(),
            client_id: group.to_owned(),
            topics: vec![topic.to_owned()],
            session_timeout: SESSION_TIMEOUT,
        };
        let member = self.broker.join(membership).await.unwrap();
        self.tasks.spawn(runner::run(member, Arc::new(handler), settings, self.stop.clone()));
        self
    }

    pub async fn request(&self, title: &str) -> File {
        let new = NewFile::new(Some(title), None, None).unwrap();
        request_file::request(&self.ctx, new, None).await.unwrap().file
    }

    pub async fn file(&self, id: FileId) -> File {
        self.ctx.db.file(id).await.unwrap().expect("the file is in the table")
    }

    pub async fn publish(&self, topic: &str, value: Option<&[u8]>) -> Position {
        let record = Record { value: value.map(Bytes::copy_from_slice), ..Record::default() };
        let mut positions = self.broker.publish(topic, vec![record]).await;
        positions.remove(0).unwrap()
    }

    /// Every record that the topic still keeps.
    pub async fn records(&self, topic: &str) -> Vec<Delivery> {
        let mut records = Vec::new();
        for marks in self.broker.watermarks(topic).await.unwrap() {
            let from = Position { topic: topic.into(), partition: marks.partition, offset: marks.low };
            records.extend(self.broker.read(&from, usize::MAX).await.unwrap());
        }
        records
    }

    /// Until the topic's group has committed the end of every partition: the broker then keeps nothing of it.
    pub async fn wait_until_all_is_committed(&self, topic: &str) {
        eventually(&format!("all of {topic} is committed"), async || {
            let marks = self.broker.watermarks(topic).await.unwrap();
            holds(marks.iter().all(|marks| marks.low == marks.high), marks)
        })
        .await;
    }

    /// Ends what runs and waits for it.
    pub async fn stop(self) {
        self.stop_tasks().await;
    }

    /// As `stop`; what they stand on stays.
    pub async fn stop_tasks(&self) {
        self.stop.cancel();
        self.tasks.close();
        super::within(super::PATIENCE, "the roles end", self.tasks.wait()).await;
    }
}
