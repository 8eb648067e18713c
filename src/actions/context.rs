//! Contexts of use cases: built once for each role, passed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};

use super::create_queue::{self, CreateRequest};
use super::query_cache::QueryCache;
use super::topic_settings::TopicFindings;
use super::uploads::UploadMemory;
use crate::broker::Broker;
use crate::config::{EventsConfig, UploadConfig};
use crate::db::Db;
use crate::domain::{Page, PageRequest, Stats};
use crate::storage::Storage;
use crate::telemetry::Outage;

/// Adapters and shared state of `serve`. Cheap to clone.
#[derive(Clone)]
pub struct ServeContext {
    pub db: Db,
    pub broker: Arc<dyn Broker>,
    pub storage: Storage,
    pub events: EventsConfig,
    /// Time after its creation within which a file must have a terminal status.
    pub file_deadline: Duration,
    /// Woken when outbox rows have committed that anybody may publish.
    pub outbox: Arc<Notify>,
    /// Woken when a removal of an object has committed.
    pub removals: Arc<Notify>,
    /// Limits of uploads.
    pub uploads: Arc<UploadConfig>,
    pub(crate) upload_memory: Arc<UploadMemory>,
    pub(crate) create_requests: mpsc::Sender<CreateRequest>,
    pub(crate) overload: Arc<Outage>,
    pub(crate) silent: Arc<SilentDependencies>,
    pub(crate) topic_findings: Arc<TopicFindings>,
    pub(crate) pages: Arc<QueryCache<PageRequest, Page>>,
    pub(crate) stats: Arc<QueryCache<(), Stats>>,
}

impl ServeContext {
    /// Makes the context with the defaults of `events` and `uploads`, and the queue that the job `commit_requests` empties.
    pub fn new(
        db: Db,
        broker: Arc<dyn Broker>,
        storage: Storage,
        file_deadline: Duration,
    ) -> (Self, mpsc::Receiver<CreateRequest>) {
        let (create_requests, queue) = create_queue::channel();
        let ctx = Self {
            db,
            broker,
            storage,
            events: EventsConfig::default(),
            file_deadline,
            outbox: Arc::default(),
            removals: Arc::default(),
            uploads: Arc::default(),
            upload_memory: Arc::default(),
            create_requests,
            overload: Arc::new(Outage::new("requests refused", "requests are accepted again")),
            silent: Arc::default(),
            topic_findings: Arc::default(),
            pages: Arc::default(),
            stats: Arc::default(),
        };
        (ctx, queue)
    }
}

/// Outages of dependencies that don't answer a health check in time. One that answers with an error is reported by the
/// adapter itself.
pub(crate) struct SilentDependencies {
    pub database: Outage,
    pub kafka: Outage,
    pub storage: Outage,
}

impl Default for SilentDependencies {
    fn default() -> Self {
        Self {
            database: Outage::new("postgresql does not answer", "postgresql answers again"),
            kafka: Outage::new("kafka does not answer", "kafka answers again"),
            storage: Outage::new("s3 does not answer", "s3 answers again"),
        }
    }
}

/// Context of use cases about dead letters: PostgreSQL alone, so that the command line works without a server.
#[derive(Clone)]
pub struct DeadLettersContext {
    pub db: Db,
    pub events: EventsConfig,
    /// Time from republishing a file's request to the file's deadline.
    pub file_deadline: Duration,
}

impl ServeContext {
    pub fn dead_letters(&self) -> DeadLettersContext {
        DeadLettersContext {
            db: self.db.clone(),
            events: self.events.clone(),
            file_deadline: self.file_deadline,
        }
    }
}

/// Adapters of a worker: Kafka and S3, no database.
#[derive(Clone)]
pub struct WorkerContext {
    pub broker: Arc<dyn Broker>,
    pub storage: Storage,
    /// Permits for files that are made at once, shared by the members of one process.
    pub making: Arc<Semaphore>,
    /// Artificial processing time of each file.
    pub processing_delay: Duration,
}
