//! `filesys up`: every role in one process; what the environment does not name, it runs itself.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::serve::Serve;
use super::worker::Worker;
use super::{CommandError, CommandResult, healthcheck, signals};
use crate::actions::doctor::Services;
use crate::actions::provision;
use crate::broker::Broker;
use crate::broker::kafka::Kafka;
use crate::broker::local::LocalBroker;
use crate::config::roles::{SERVE_CLIENT_ID, SERVE_GROUP_ID, WORKER_CLIENT_ID, WORKER_GROUP_ID};
use crate::config::{DatabaseConfig, Env, EventsConfig, S3Config, UpSettings};
use crate::db::Db;
use crate::domain::{Error, ErrorKind};
use crate::embedded::{
    DataDir, Durability, EmbeddedError, EmbeddedPostgres, EmbeddedS3, PostgresOptions, S3Options,
    restrict_umask,
};
use crate::storage::Storage;
use crate::telemetry::Outage;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the rows and the objects
    #[arg(long, value_name = "DIR", default_value = "./filesys-data")]
    data_dir: PathBuf,
    /// Workers in this process [default: WORKER_REPLICAS, or 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    replicas: Option<u16>,
}

const DATABASE: &str = "filesys";
const MAX_CONNECTIONS: usize = 10;
const PARTITIONS: i32 = 3;
/// Session timeout of the in-process broker. Its members end with their process, so a silent one needs no detection.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// The services that end with this process.
#[derive(Default)]
struct Embedded {
    postgres: Option<EmbeddedPostgres>,
    s3: Option<EmbeddedS3>,
}

pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    let config = UpSettings::read(&mut env, args.replicas.map(usize::from));
    env.finish()?;
    restrict_umask();
    let stop = signals::stop_token()?;
    let mut embedded = Embedded::default();
    let result = run_on(&args, config, &mut embedded, &stop).await;
    if let Some(s3) = embedded.s3 {
        s3.stop().await;
    }
    if let Some(postgres) = embedded.postgres {
        postgres.stop().await?;
    }
    result
}

async fn run_on(
    args: &Args,
    config: UpSettings,
    embedded: &mut Embedded,
    stop: &CancellationToken,
) -> CommandResult {
    let (database, s3) = services(args, &config, embedded).await?;
    let named = Services {
        database: config.database.clone(),
        kafka: config.kafka.as_ref().map(|kafka| kafka.cluster.clone()),
        s3: config.s3.clone(),
    };
    let (is_named, has_named_store) = (named.database.is_some(), named.s3.is_some());
    let storage = Storage::new(&s3).map_err(Error::from)?;
    let broker: Arc<dyn Broker> = match &config.kafka {
        Some(kafka) => Arc::new(Kafka::new(&kafka.cluster, &kafka.client_id)),
        None => Arc::new(LocalBroker::default()),
    };
    let partitions = config.kafka.as_ref().map_or(PARTITIONS, |kafka| kafka.cluster.partitions);
    let session_timeout =
        config.kafka.as_ref().map_or(SESSION_TIMEOUT, |kafka| kafka.cluster.session_timeout);
    let worker = Worker {
        config: config.work,
        broker: Arc::clone(&broker),
        storage: storage.clone(),
        group: WORKER_GROUP_ID.to_owned(),
        client_id: WORKER_CLIENT_ID.to_owned(),
        session_timeout,
        shutdown_timeout: config.http.shutdown_timeout,
    };
    let kafka = config.kafka.as_ref().map(|kafka| &kafka.cluster);
    let events = EventsConfig::of_server(&config.http.outer, kafka, &s3);
    let serve = Serve {
        http: config.http,
        db: Db::new(&database.url, database.max_connections).map_err(Error::from)?,
        broker,
        storage,
        events,
        file_deadline: config.file_deadline,
        retention: config.retention,
        uploads: config.uploads,
        group: SERVE_GROUP_ID.to_owned(),
        worker_group: WORKER_GROUP_ID.to_owned(),
        client_id: SERVE_CLIENT_ID.to_owned(),
        session_timeout,
        topic_partitions: partitions,
        broker_forgets: config.kafka.is_none(),
    };
    let _explanation = serve.explain_slow_start(named, stop);
    if !schema_is_there(&database, is_named, stop).await? {
        return Ok(());
    }
    if serve.broker_forgets {
        provision::topics(&*serve.broker, partitions, None).await?;
    }
    if !has_named_store {
        provision::bucket(&serve.storage).await?;
    }
    roles(worker, serve, embedded, &s3.bucket, stop).await
}

/// Makes the schema. A server that was named is waited for, until `stop`: then the answer is false.
async fn schema_is_there(
    database: &DatabaseConfig,
    is_named: bool,
    stop: &CancellationToken,
) -> Result<bool, CommandError> {
    const AGAIN: Duration = Duration::from_secs(1);
    let outage = Outage::new("postgresql unavailable", "postgresql recovered");
    loop {
        let Some(made) = stop.run_until_cancelled(provision::schema(&database.url)).await else {
            return Ok(false);
        };
        match made {
            Ok(_) => {
                outage.works();
                return Ok(true);
            }
            Err(error) if is_named && error.kind == ErrorKind::Unavailable => outage.fails(error.chain()),
            Err(error) => return Err(error.into()),
        }
        stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
    }
}

/// The services, named ones as named, the others started.
async fn services(
    args: &Args,
    config: &UpSettings,
    embedded: &mut Embedded,
) -> Result<(DatabaseConfig, S3Config), CommandError> {
    if let (Some(database), Some(s3)) = (&config.database, &config.s3) {
        return Ok((database.clone(), s3.clone()));
    }
    let data_dir = DataDir::open(&args.data_dir)?;
    let database = match &config.database {
        Some(database) => database.clone(),
        None => {
            let options = PostgresOptions::new(data_dir.clone(), config.embedded.clone());
            let postgres = embedded.postgres.insert(EmbeddedPostgres::start(options).await?);
            postgres.served_database(DATABASE, MAX_CONNECTIONS).await?
        }
    };
    let s3 = match &config.s3 {
        Some(s3) => s3.clone(),
        None => {
            let options = S3Options { data_dir, durability: Durability::Full };
            let s3 = embedded.s3.insert(EmbeddedS3::start(options).await?).s3_config(&config.bucket);
            S3Config { public_endpoint: config.s3_public_endpoint.clone(), ..s3 }
        }
    };
    Ok((database, s3))
}

/// Runs both roles until the signal, or until one of them ends by itself, or PostgreSQL too often.
async fn roles(
    worker: Worker,
    serve: Serve,
    embedded: &mut Embedded,
    bucket: &str,
    stop: &CancellationToken,
) -> CommandResult {
    let hints = hints(embedded, bucket);
    let base = serve.http.outer.base_url.as_ref().map(ToString::to_string);
    let (listening, address) = oneshot::channel();
    // Workers end first, so that their last results are still recorded.
    let worked = CancellationToken::new();
    let mut worker = tokio::spawn(worker.run(stop.clone()));
    let mut serve = tokio::spawn(serve.run(stop.clone(), worked.clone(), Some(listening)));
    let lost = async {
        match &mut embedded.postgres {
            Some(postgres) => postgres.keep_alive().await,
            None => std::future::pending().await,
        }
    };
    let watch = async {
        if let Ok(address) = address.await {
            say(address, base.as_deref(), &hints)?;
        }
        stop.cancelled().await;
        Ok::<_, CommandError>(())
    };
    let (mut worker_result, mut serve_result) = (None, None);
    let watched = tokio::select! {
        result = watch => result,
        error = lost => Err(error.into()),
        result = &mut worker => {
            worker_result = Some(joined(result));
            Ok(())
        }
        result = &mut serve => {
            serve_result = Some(joined(result));
            Ok(())
        }
    };
    stop.cancel();
    let worker_result = match worker_result {
        Some(result) => result,
        None => joined(worker.await),
    };
    worked.cancel();
    let serve_result = match serve_result {
        Some(result) => result,
        None => joined(serve.await),
    };
    watched.and(worker_result).and(serve_result)
}

fn joined(result: Result<CommandResult, tokio::task::JoinError>) -> CommandResult {
    result.unwrap_or_else(|error| Err(CommandError::Failed(format!("a role ended unexpectedly: {error}"))))
}

/// Commands to look inside, ready to be pasted.
fn hints(embedded: &Embedded, bucket: &str) -> Vec<String> {
    let rows = embedded.postgres.as_ref().map(|it| format!("the rows:    {}", it.psql_hint(DATABASE)));
    let objects = embedded.s3.as_ref().map(|it| format!("the objects: {}", it.aws_hint(bucket)));
    rows.into_iter().chain(objects).collect()
}

/// Prints in a few lines how to look at the data.
fn say(address: SocketAddr, base: Option<&str>, hints: &[String]) -> CommandResult {
    let mut out = std::io::stdout();
    // Where it listens everywhere, this machine reaches it on loopback.
    let here = format!("http://{}/", SocketAddr::new(healthcheck::local(address.ip()), address.port()));
    writeln!(out, "filesys is ready: {}", base.unwrap_or(&here))?;
    if base.is_some() {
        writeln!(out, "  it listens:  {here}")?;
    }
    for hint in hints {
        writeln!(out, "  {hint}")?;
    }
    writeln!(out, "  Ctrl-C stops it; what is unfinished goes on at the next start")?;
    Ok(())
}

impl From<EmbeddedError> for CommandError {
    fn from(error: EmbeddedError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
