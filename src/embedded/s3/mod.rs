//! In-process S3 server on loopback that keeps objects as files.

mod dir_entries;
mod dir_sync;
mod disk;
mod fields;
mod files;
mod get;
mod layout;
mod listing;
mod listing_query;
mod listing_responses;
mod migration;
mod multipart;
mod object;
mod old_layout;
mod parts;
#[cfg(test)]
mod parts_tests;
mod put;
mod slots;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{DataDir, Durability, EmbeddedError, access, generated_secret};
use crate::config::S3Config;
use crate::domain::shell::quoted;
use store::Store;

const CREDENTIALS: &str = "s3.credentials";
const KEY_ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";
/// Time limit for requests in flight when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of an embedded S3 server.
#[derive(Debug, Clone)]
pub struct S3Options {
    pub data_dir: DataDir,
    pub durability: Durability,
}

/// Returns the number of threads for file operations. Each step of a request runs on one of them: with as many threads
/// as the runtime starts by default, waking them costs several times the work. More are needed where they wait for the
/// disk.
const fn file_threads(durability: Durability) -> usize {
    match durability {
        Durability::Full => 32,
        Durability::Fast => 4,
    }
}

/// Running server. Dropping it cuts its connections; `stop` lets requests in flight finish.
#[derive(Debug)]
pub struct EmbeddedS3 {
    address: SocketAddr,
    credentials: Credentials,
    data_dir: DataDir,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    /// Task that moves objects of an older release.
    migration: Option<JoinHandle<()>>,
    /// Runtime of the server; `None` once it is shut down.
    runtime: Option<Runtime>,
}

#[derive(Debug, Clone)]
struct Credentials {
    access_key_id: String,
    secret_access_key: SecretString,
}

impl EmbeddedS3 {
    /// Starts the server on the buckets under `objects`.
    pub async fn start(options: S3Options) -> Result<Self, EmbeddedError> {
        let data_dir = options.data_dir;
        let credentials = Credentials::read_or_make(&data_dir)?;
        let dir = data_dir.clone();
        let open = move || Store::open(&dir.private_dir("objects")?, options.durability);
        let store = tokio::task::spawn_blocking(open).await;
        let store = store.map_err(|error| EmbeddedError::Listen(error.into()))??;
        let stop = CancellationToken::new();
        let migration = store.migration(stop.clone());
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(SimpleAuth::from_single(
            credentials.access_key_id.clone(),
            credentials.secret_access_key.expose_secret(),
        ));

        let listener = data_dir.listen("s3.port")?;
        let address = listener.local_addr().map_err(EmbeddedError::Listen)?;
        listener.set_nonblocking(true).map_err(EmbeddedError::Listen)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(file_threads(options.durability))
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(EmbeddedError::Listen)?;
        let listener = {
            let _guard = runtime.enter();
            TcpListener::from_std(listener).map_err(EmbeddedError::Listen)?
        };
        let migration = migration.map(|work| runtime.spawn_blocking(work));
        let task = runtime.spawn(accept(listener, service.build(), stop.clone()));
        log::info!(port = address.port(); "s3 server is ready");
        Ok(Self { address, credentials, data_dir, stop, task: Some(task), migration, runtime: Some(runtime) })
    }

    /// Returns the URL of the server.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the access key id.
    pub fn access_key_id(&self) -> &str {
        &self.credentials.access_key_id
    }

    /// Returns the secret access key.
    pub fn secret_access_key(&self) -> &SecretString {
        &self.credentials.secret_access_key
    }

    /// Returns the path of the credentials file, for `AWS_SHARED_CREDENTIALS_FILE`.
    pub fn credentials_path(&self) -> PathBuf {
        self.data_dir.join(CREDENTIALS)
    }

    /// Returns a shell command that lists a bucket's files, without the secret.
    pub fn aws_hint(&self, bucket: &str) -> String {
        format!(
            "AWS_SHARED_CREDENTIALS_FILE={} aws --region us-east-1 --endpoint-url {} s3 ls --recursive {}",
            quoted(self.credentials_path()),
            self.endpoint(),
            quoted(format!("s3://{bucket}/"))
        )
    }

    /// Returns the settings of a client of the bucket.
    pub fn s3_config(&self, bucket: &str) -> S3Config {
        S3Config {
            endpoint: Some(self.endpoint()),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            access_key_id: self.credentials.access_key_id.clone(),
            secret_access_key: self.credentials.secret_access_key.clone(),
            authorities: None,
            proxy: None,
        }
    }

    /// Stops accepting requests, lets those in flight finish within a time limit, then cuts them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // The task has the time limit.
            let _ = task.await;
        }
        if let Some(migration) = self.migration.take() {
            // Ends after the object that it works on.
            let _ = timeout(STOP_TIMEOUT, migration).await;
        }
    }
}

impl Drop for EmbeddedS3 {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(runtime) = self.runtime.take() {
            // Without waiting: this may run inside another runtime, where blocking is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl Credentials {
    /// Reads the credentials of the last run, or makes new ones. The file has the format that AWS' own tools read.
    fn read_or_make(dir: &DataDir) -> Result<Self, EmbeddedError> {
        if let Some(known) = dir.read(CREDENTIALS)?.as_deref().and_then(Self::parse) {
            return Ok(known);
        }
        let made = Self {
            access_key_id: format!("FILESYS{:.13}", Uuid::new_v4().simple().to_string().to_uppercase()),
            secret_access_key: generated_secret(),
        };
        dir.write_private(
            CREDENTIALS,
            &format!(
                "[default]\n{KEY_ID} = {}\n{SECRET} = {}\n",
                made.access_key_id,
                made.secret_access_key.expose_secret()
            ),
        )?;
        Ok(made)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find_map(|(key, value)| (key.trim() == name).then(|| value.trim().to_owned()))
        };
        Some(Self { access_key_id: value(KEY_ID)?, secret_access_key: SecretString::from(value(SECRET)?) })
    }
}

/// Formats bytes as lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Makes a directory that only this process' user may access; an existing one is left as it is.
fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(access::DIRECTORY).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Accepts connections and owns them; ends when all have ended after `stop`. Aborting it aborts them.
async fn accept(listener: TcpListener, service: S3Service, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, service.clone(), stop.clone()));
                }
                Err(error) => {
                    // Usually for lack of file descriptors: without a pause the loop would spin.
                    log::warn!(error = error.to_string(); "s3 server can't accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    // Closed before draining, so that new clients are refused at once.
    drop(listener);
    let drained = timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        log::warn!(connections = connections.len(); "s3 server cuts connections that did not end in time");
        connections.shutdown().await;
    }
}

async fn serve(socket: TcpStream, service: S3Service, stop: CancellationToken) {
    if let Err(error) = socket.set_nodelay(true) {
        log::debug!(error = error.to_string(); "TCP_NODELAY can't be set");
    }
    let server = Builder::new(TokioExecutor::new()).http1_only();
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!(error = error.to_string(); "s3 connection ended");
    }
}
