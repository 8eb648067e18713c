//! What the verbs work with: built once for each role, passed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};

use super::check_health::Silence;
use super::check_topics;
use super::recent::Recent;
use super::request_file::Intake;
use crate::broker::Broker;
use crate::db::Db;
use crate::domain::{Page, PageRequest, Stats};
use crate::storage::Storage;
use crate::telemetry::Outage;

/// The tools of `serve`. Cheap to clone.
#[derive(Clone)]
pub struct ServeContext {
    pub db: Db,
    pub broker: Arc<dyn Broker>,
    pub storage: Storage,
    /// How long after its creation a file must have a terminal status.
    pub file_deadline: Duration,
    /// Woken when outbox rows have committed that anybody may publish.
    pub outbox: Arc<Notify>,
    /// Woken when a removal of an object has committed.
    pub removals: Arc<Notify>,
    pub(super) intake: mpsc::Sender<Intake>,
    pub(super) overload: Arc<Outage>,
    pub(super) silence: Arc<Silence>,
    pub(super) topic_findings: Arc<check_topics::Known>,
    pub(super) pages: Arc<Recent<PageRequest, Page>>,
    pub(super) stats: Arc<Recent<(), Stats>>,
}

impl ServeContext {
    /// Also gives the queue that `request_file::run` must empty.
    pub fn new(
        db: Db,
        broker: Arc<dyn Broker>,
        storage: Storage,
        file_deadline: Duration,
    ) -> (Self, mpsc::Receiver<Intake>) {
        let (intake, queue) = mpsc::channel(super::request_file::QUEUE);
        let ctx = Self {
            db,
            broker,
            storage,
            file_deadline,
            outbox: Arc::default(),
            removals: Arc::default(),
            intake,
            overload: Arc::new(Outage::new("requests refused", "requests are accepted again")),
            silence: Arc::default(),
            topic_findings: Arc::default(),
            pages: Arc::default(),
            stats: Arc::default(),
        };
        (ctx, queue)
    }
}

/// What settling dead letters takes: the rows alone, so that it is also done without a server.
#[derive(Clone)]
pub struct LettersContext {
    pub db: Db,
    /// Time from republishing a file's request to the file's deadline.
    pub file_deadline: Duration,
}

impl ServeContext {
    pub fn letters(&self) -> LettersContext {
        LettersContext { db: self.db.clone(), file_deadline: self.file_deadline }
    }
}

/// The tools of a worker: Kafka and S3, no database.
#[derive(Clone)]
pub struct WorkerContext {
    pub broker: Arc<dyn Broker>,
    pub storage: Storage,
    /// Permits for files that are made at once, shared by the members of one process.
    pub making: Arc<Semaphore>,
    /// Artificial processing time of each file.
    pub processing_delay: Duration,
}
