//! `filesys serve`: HTTP API and pages; relays the outbox; records results and keeps dead letters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{CommandError, CommandResult, descriptors, signals};
use crate::actions::doctor::{Services, explain_slow_start};
use crate::actions::{ServeContext, files};
use crate::broker::kafka::Kafka;
use crate::broker::{Broker, Membership};
use crate::config::roles::dead_letters_group;
use crate::config::{Env, EventsConfig, HttpConfig, RetentionConfig, ServeSettings, UploadConfig};
use crate::consumer::handlers::dead_letters::DeadLetterHandler;
use crate::consumer::handlers::file_created::FileCreatedHandler;
use crate::consumer::{Settings, runner};
use crate::db::Db;
use crate::domain::Error;
use crate::domain::messages::topics;
use crate::http::outer::OuterAddress;
use crate::http::{AppState, server};
use crate::jobs::recover_lost_requests::Groups;
use crate::jobs::{self, JobContext, commit_requests};
use crate::storage::Storage;

/// Results applied in one transaction.
const RESULTS_BATCH: usize = 500;
/// Under load, between two such transactions for one partition.
const MIN_BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Dead letters kept in one transaction: each may have a megabyte.
const DEAD_LETTERS_BATCH: usize = 20;

/// Everything the role needs, wherever it comes from.
pub(super) struct Serve {
    pub(super) http: HttpConfig,
    pub(super) db: Db,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) storage: Storage,
    pub(super) events: EventsConfig,
    pub(super) file_deadline: Duration,
    pub(super) retention: RetentionConfig,
    pub(super) uploads: UploadConfig,
    pub(super) group: String,
    /// The workers' group, whose progress tells what Kafka has lost.
    pub(super) worker_group: String,
    pub(super) client_id: String,
    pub(super) session_timeout: Duration,
    pub(super) topic_partitions: i32,
    /// The broker forgets everything with this process: publish unfinished files again at the start, and take in
    /// every result at the end.
    pub(super) broker_forgets: bool,
}

pub(super) async fn run(mut env: Env) -> CommandResult {
    let settings = ServeSettings::read(&mut env);
    let ServeSettings { http, database, kafka, client_id, group_id, worker_group_id, .. } = settings;
    let ServeSettings { s3, file_deadline, retention, uploads, .. } = settings;
    env.finish()?;
    let stop = signals::stop_token()?;
    let services =
        Services { database: Some(database.clone()), kafka: Some(kafka.clone()), s3: Some(s3.clone()) };
    let events = EventsConfig::of_server(&http.outer, Some(&kafka), &s3);
    let role = Serve {
        http,
        events,
        db: Db::new(&database.url, database.max_connections).map_err(Error::from)?,
        broker: Arc::new(Kafka::new(&kafka, &client_id)),
        storage: Storage::new(&s3).map_err(Error::from)?,
        file_deadline,
        retention,
        uploads,
        group: group_id,
        worker_group: worker_group_id,
        client_id,
        session_timeout: kafka.session_timeout,
        topic_partitions: kafka.partitions,
        broker_forgets: false,
    };
    let _explanation = role.explain_slow_start(services, &stop);
    role.run(stop.clone(), stop, None).await
}

impl Serve {
    /// Logs what keeps the role from working when its start drags on. Ends with the handle.
    pub(super) fn explain_slow_start(
        &self,
        services: Services,
        stop: &CancellationToken,
    ) -> AbortOnDropHandle<()> {
        let (db, broker, storage) = (self.db.clone(), Arc::clone(&self.broker), self.storage.clone());
        let is_ready = async move || {
            let (db, broker, storage) = tokio::join!(db.ping(), broker.topics(), storage.ping());
            db.is_ok() && broker.is_ok() && storage.is_ok()
        };
        let explanation = explain_slow_start(services, self.client_id.clone(), is_ready, stop.clone());
        AbortOnDropHandle::new(tokio::spawn(explanation))
    }

    /// Answers requests until `stop` and records results until `worked` as well; everything accepted is written down.
    /// Tells `listening` the address once requests are answered.
    pub(super) async fn run(
        self,
        stop: CancellationToken,
        worked: CancellationToken,
        listening: Option<oneshot::Sender<SocketAddr>>,
    ) -> CommandResult {
        let Self { http, db, broker, storage, uploads, .. } = self;
        let (mut ctx, queue) = ServeContext::new(db, broker, storage, self.file_deadline);
        ctx.events = self.events;
        ctx.uploads = Arc::new(uploads);
        let state = AppState::new(ctx.clone(), Handle::current(), stop.clone(), OuterAddress::new(&http));
        let client_errors = Arc::clone(&state.client_errors);
        let (server, address) = server::bind(&http, state, descriptors::raise())
            .map_err(|error| CommandError::Failed(error.to_string()))?;

        let tasks = TaskTracker::new();
        // Behind HTTP in the order of the end: what it still stores must still be published.
        let background = CancellationToken::new();
        let answered = CancellationToken::new();
        let intake = tokio::spawn(commit_requests::run(ctx.clone(), queue, answered.clone()));
        // Before anything is published: a broker may keep for a group only what comes after it joined.
        let membership = |group, client_id, topic: &str| Membership {
            group,
            client_id,
            topics: vec![topic.to_owned()],
            session_timeout: self.session_timeout,
        };
        let keeper = format!("{}-dead-letters", self.client_id);
        let dead_letters = membership(dead_letters_group(&self.group), keeper, topics::DEAD_LETTERS);
        let dead_letters = ctx.broker.join(dead_letters).await.map_err(Error::from)?;
        let results = membership(self.group.clone(), self.client_id, topics::CREATED);
        let results = ctx.broker.join(results).await.map_err(Error::from)?;
        if self.broker_forgets {
            files::republish_unfinished(&ctx).await?;
        }
        let job_context = JobContext {
            serve: ctx.clone(),
            groups: Groups { workers: self.worker_group, recorders: self.group.clone() },
            retention: self.retention,
            topic_partitions: self.topic_partitions,
        };
        for job in &jobs::ALL {
            tasks.spawn(job.run(job_context.clone(), background.clone()));
        }
        let report = background.clone();
        tasks.spawn(async move { client_errors.report(report).await });
        let settings = |batch_size| Settings {
            permits: Arc::new(Semaphore::new(1)),
            batch_size,
            max_tries: 5,
            revoke_timeout: self.session_timeout / 3,
            drain_timeout: http.shutdown_timeout,
            finish_backlog: self.broker_forgets,
            min_batch_interval: MIN_BATCH_INTERVAL,
        };
        // Behind the results in the order of the end: one that can't be recorded becomes a dead letter.
        let recorded = CancellationToken::new();
        let handler = Arc::new(DeadLetterHandler { ctx: ctx.dead_letters() });
        tasks.spawn(runner::run(dead_letters, handler, settings(DEAD_LETTERS_BATCH), recorded.clone()));
        let handler = Arc::new(FileCreatedHandler { ctx });
        let recorder =
            tokio::spawn(runner::run(results, handler, settings(RESULTS_BATCH), background.clone()));

        let handle = server.handle();
        let serving = tokio::spawn(server);
        log::info!(address:% = address; "listening");
        if let Some(listening) = listening {
            // Whoever asked may have been stopped meanwhile.
            let _ = listening.send(address);
        }
        stop.cancelled().await;
        handle.stop(true).await;
        let served = serving.await;
        answered.cancel();
        let stored = intake.await;
        worked.cancelled().await;
        background.cancel();
        let results = recorder.await;
        recorded.cancel();
        tasks.close();
        tasks.wait().await;
        log::info!("stopped");
        results.map_err(|error| CommandError::Failed(error.to_string()))?;
        stored.map_err(|error| CommandError::Failed(error.to_string()))?;
        served.map_err(|error| CommandError::Failed(error.to_string()))?.map_err(CommandError::from)
    }
}
