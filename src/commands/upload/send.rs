//! Upload of one file: continued where it was, tried again while the server is away, compared at the end.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::Instant;

use super::plan::PlannedFile;
use super::progress::{FileProgress, Progress};
use super::source::Source;
use super::state::{Key, StateFile};
use crate::client::{Client, ClientError, Fields, Record, Stored};
use crate::domain::FileId;

const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Reason why a file is not uploaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("it can't be read: {0}")]
    Local(#[from] io::Error),
    #[error("it was changed while it was uploaded")]
    Changed,
    #[error("the server has stored other bytes as file {id}: their SHA-256 is {theirs}, not {ours}")]
    Altered { id: FileId, theirs: String, ours: String },
}

/// Sender of the files of one run, by what all of its uploads have in common.
#[derive(Debug)]
pub(super) struct Sender {
    pub client: Client,
    pub state: StateFile,
    pub progress: Progress,
    /// Fields of every file; each adds its name and folder.
    pub fields: Fields,
    /// Time limit of the wait for a server that is away, from the last byte that it took.
    pub retry_for: Duration,
}

impl Sender {
    /// Uploads a file and returns its record.
    pub async fn send(&self, file: &PlannedFile) -> Result<Record, SendError> {
        let source = Source::open(file.path.clone()).await?;
        let fields =
            Fields { file_name: file.name.clone(), folder: file.folder.clone(), ..self.fields.clone() };
        let key = Key {
            server: self.client.server().to_string(),
            path: file.path.to_string_lossy().into_owned(),
            size: source.size,
            modified_ns: source.modified_ns,
            metadata: fields.to_metadata(),
        };
        let shown = self.progress.begin(&file.shown, source.size);
        let one = Upload {
            sender: self,
            // Two paths that are not UTF-8 may look the same: their uploads are not remembered.
            is_remembered: file.path.to_str().is_some(),
            key,
            source,
            shown,
        };
        one.run().await
    }
}

/// Upload of one file.
struct Upload<'a> {
    sender: &'a Sender,
    is_remembered: bool,
    key: Key,
    source: Source,
    shown: FileProgress,
}

impl Upload<'_> {
    async fn run(self) -> Result<Record, SendError> {
        let mut retries = Retries::new(self.sender.retry_for);
        let mut upload = self.recall().await;
        let mut reached = 0;
        let mut has_begun_again = false;
        let id = loop {
            match self.step(&mut upload, &mut reached, &mut retries).await {
                Ok(id) => break id,
                Err(SendError::Client(ClientError::Gone(_))) if upload.is_some() && !has_begun_again => {
                    self.forget().await;
                    self.shown.tell("the server does not have its beginning any more; it begins again");
                    (upload, reached, has_begun_again) = (None, 0, true);
                }
                Err(error) => {
                    // A file that could not be read explains a body that was cut off.
                    self.check().await?;
                    retries.wait(error, &self.shown).await?;
                }
            }
        };
        let record = loop {
            match self.sender.client.file(id).await {
                Ok(record) => break record,
                Err(error) => retries.wait(error.into(), &self.shown).await?,
            }
        };
        self.forget().await;
        self.check().await?;
        match (self.source.sha256(), &record.sha256) {
            (Some(ours), Some(theirs)) if ours != *theirs => {
                Err(SendError::Altered { id, theirs: theirs.clone(), ours })
            }
            _ => Ok(record),
        }
    }

    /// Asks for the state of the upload, or starts it, and sends what is missing. Returns the file.
    async fn step(
        &self,
        upload: &mut Option<FileId>,
        reached: &mut u64,
        retries: &mut Retries,
    ) -> Result<FileId, SendError> {
        let Self { sender: Sender { client, .. }, source, .. } = self;
        let (id, stored) = match *upload {
            Some(id) => match client.ask_upload(id, source.size).await? {
                // Without bytes at first: the request that was cut off may still hold the upload, and the server would
                // refuse all of them after they were sent.
                Stored::Part(offset) => (id, self.append(id, offset, 0, stream::empty()).await?),
                file @ Stored::File(_) => (id, file),
            },
            None => {
                let (id, stored) = client.create_upload(source.size, &self.key.metadata).await?;
                *upload = Some(id);
                if matches!(stored, Stored::Part(_)) {
                    self.remember(id).await;
                }
                (id, stored)
            }
        };
        let offset = match stored {
            Stored::File(id) => return Ok(id),
            Stored::Part(offset) => offset,
        };
        if offset > *reached {
            retries.reset();
            *reached = offset;
            self.shown.tell(&format!("continues at byte {offset} of {}", source.size));
        }
        self.shown.set(offset);
        let shown = self.shown.clone();
        let bytes = source.bytes(offset, move |count| shown.add(count)).await?;
        match self.append(id, offset, source.size.saturating_sub(offset), bytes).await? {
            Stored::File(id) => Ok(id),
            Stored::Part(offset) => {
                let reason = format!("the server has stored {offset} of {} bytes", source.size);
                Err(ClientError::Busy(reason).into())
            }
        }
    }

    /// Appends bytes. An upload that isn't there may just have become a file, so that its state is asked for again.
    async fn append(
        &self,
        id: FileId,
        offset: u64,
        length: u64,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Stored, ClientError> {
        match self.sender.client.append_upload(id, offset, length, bytes).await {
            Err(ClientError::Gone(reason)) => Err(ClientError::Busy(reason)),
            other => other,
        }
    }

    async fn check(&self) -> Result<(), SendError> {
        if self.source.has_changed().await? { Err(SendError::Changed) } else { Ok(()) }
    }

    async fn recall(&self) -> Option<FileId> {
        if !self.is_remembered {
            return None;
        }
        match self.sender.state.find(&self.key).await {
            Ok(url) => url.as_deref().and_then(Client::upload_of_url),
            Err(error) => {
                self.forgets(&error);
                None
            }
        }
    }

    async fn remember(&self, id: FileId) {
        if self.is_remembered
            && let Err(error) = self.sender.state.put(&self.key, self.sender.client.upload_url(id)).await
        {
            self.forgets(&error);
        }
    }

    async fn forget(&self) {
        // One that stays is found to be stored, or gone, by the next run.
        let _ = self.sender.state.remove(&self.key).await;
    }

    fn forgets(&self, error: &io::Error) {
        self.shown
            .tell(&format!("if it is interrupted it begins again, for its state can't be kept: {error}"));
    }
}

/// Delays between tries, with jitter, until the time limit.
struct Retries {
    limit: Duration,
    last_success: Instant,
    delays: ExponentialBackoff,
    has_told: bool,
}

impl Retries {
    fn new(limit: Duration) -> Self {
        Self { limit, last_success: Instant::now(), delays: delays(), has_told: false }
    }

    /// Begins again: the server has taken something.
    fn reset(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Waits before the next try. Fails with the error if another try can't help, or the time is over.
    async fn wait(&mut self, error: SendError, shown: &FileProgress) -> Result<(), SendError> {
        let at_least = match &error {
            SendError::Client(ClientError::Unavailable { retry_after, .. }) => {
                retry_after.unwrap_or_default()
            }
            SendError::Client(ClientError::Busy(_)) => Duration::ZERO,
            SendError::Client(ClientError::Gone(_) | ClientError::Refused(_))
            | SendError::Local(_)
            | SendError::Changed
            | SendError::Altered { .. } => return Err(error),
        };
        let delay = self.delays.next().unwrap_or(MAX_DELAY).clamp(at_least.min(MAX_DELAY), MAX_DELAY);
        if self.last_success.elapsed() + delay > self.limit {
            return Err(error);
        }
        if !self.has_told {
            self.has_told = true;
            shown.tell(&format!("{error}; trying again for up to {:?}", self.limit));
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

fn delays() -> ExponentialBackoff {
    let delays = ExponentialBuilder::default().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
    delays.with_jitter().without_max_times().build()
}
