//! `filesys worker`: members of the worker group; each generates and stores files.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{CommandError, CommandResult, signals};
use crate::actions::WorkerContext;
use crate::actions::doctor::{Services, explain_slow_start};
use crate::broker::kafka::Kafka;
use crate::broker::{Broker, Membership};
use crate::config::worker::HEALTH_SOCKET;
use crate::config::{Env, WorkerConfig, WorkerSettings};
use crate::consumer::handlers::file_create::FileCreateHandler;
use crate::consumer::health::{self, Health};
use crate::consumer::{Settings, runner};
use crate::domain::Error;
use crate::domain::messages::topics;
use crate::storage::Storage;

/// Records under way for each file that may be made at once: those that are announced are, too.
const UNDER_WAY: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Members of the consumer group in this process [default: WORKER_REPLICAS, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    replicas: Option<u16>,
}

/// Everything the role needs, wherever it comes from.
pub(super) struct Worker {
    pub(super) config: WorkerConfig,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) storage: Storage,
    pub(super) group: String,
    pub(super) client_id: String,
    pub(super) session_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let WorkerSettings { kafka, client_id, group_id, s3, work, health_socket, shutdown_timeout } =
        WorkerSettings::read(&mut env, args.replicas.map(usize::from));
    env.finish()?;
    let listener = health_socket.map(|name| listen(&name)).transpose()?;
    let stop = signals::stop_token()?;
    let services = Services { database: None, kafka: Some(kafka.clone()), s3: Some(s3.clone()) };
    let role = Worker {
        config: work,
        broker: Arc::new(Kafka::new(&kafka, &client_id)),
        storage: Storage::new(&s3).map_err(Error::from)?,
        group: group_id,
        client_id,
        session_timeout: kafka.session_timeout,
        shutdown_timeout,
    };
    let health = Arc::new(Health::new(role.config.replicas, role.session_timeout));
    // Answers until the last member has left; aborted when this function ends.
    let _answering = listener
        .map(|listener| AbortOnDropHandle::new(tokio::spawn(health::serve(listener, Arc::clone(&health)))));
    let (broker, storage) = (Arc::clone(&role.broker), role.storage.clone());
    let is_ready = async move || {
        let (broker, storage) = tokio::join!(broker.topics(), storage.ping());
        broker.is_ok() && storage.is_ok()
    };
    let explanation = explain_slow_start(services, role.client_id.clone(), is_ready, stop.clone());
    let _explanation = AbortOnDropHandle::new(tokio::spawn(explanation));
    role.run_watched(&health, stop).await
}

fn listen(name: &str) -> CommandResult<UnixListener> {
    health::listen(name).map_err(|error| {
        CommandError::Unavailable(format!("{HEALTH_SOCKET}={name} can't be listened on: {error}"))
    })
}

impl Worker {
    /// Works until `stop`, then finishes or hands back what is under way and leaves the group.
    pub(super) async fn run(self, stop: CancellationToken) -> CommandResult {
        let health = Health::new(self.config.replicas, self.session_timeout);
        self.run_watched(&health, stop).await
    }

    async fn run_watched(self, health: &Health, stop: CancellationToken) -> CommandResult {
        // Shared by all members, so that a process does as much whoever of them owns how many partitions.
        let at_once = self.config.concurrency * self.config.replicas;
        let ctx = WorkerContext {
            broker: Arc::clone(&self.broker),
            storage: self.storage,
            making: Arc::new(Semaphore::new(at_once)),
            processing_delay: self.config.processing_delay,
        };
        let settings = Settings {
            permits: Arc::new(Semaphore::new(at_once * UNDER_WAY)),
            batch_size: 1,
            max_tries: self.config.max_attempts,
            revoke_timeout: self.session_timeout / 3,
            drain_timeout: self.shutdown_timeout,
            finish_backlog: false,
            min_batch_interval: Duration::ZERO,
        };
        let host = hostname();
        let tasks = TaskTracker::new();
        for (number, member_health) in (1..=self.config.replicas).zip(&health.members) {
            let client_id = format!("{}-{number}", self.client_id);
            let worker = format!("{client_id}@{host}:{}", std::process::id());
            let membership = Membership {
                group: self.group.clone(),
                client_id,
                topics: vec![topics::CREATE.to_owned()],
                session_timeout: self.session_timeout,
            };
            let member = self.broker.join(membership).await.map_err(Error::from)?;
            let handler = Arc::new(FileCreateHandler { ctx: ctx.clone(), worker });
            let (settings, health, stop) = (settings.clone(), Arc::clone(member_health), stop.clone());
            tasks.spawn(async move { runner::run_watched(member, handler, settings, &health, stop).await });
        }
        log::info!(replicas = self.config.replicas, group = self.group; "worker started");
        tasks.close();
        tasks.wait().await;
        log::info!("worker stopped");
        Ok(())
    }
}

/// Reads the host name of this machine, for people to read only.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}
