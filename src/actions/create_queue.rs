//! Queue of requests for files between the callers of `files::create` and the job that commits them.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{File, IdempotencyKey, NewFile, Result};

/// Requests that wait for their commit at most; further ones are refused as `Unavailable`.
const CAPACITY: usize = 4096;

/// A request in the queue, with the channel that its caller waits on.
pub struct CreateRequest {
    pub(crate) new: NewFile,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) reply: oneshot::Sender<Result<Created>>,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Created {
    pub file: File,
    /// The file belongs to an earlier request with the same key and is shown as it is now.
    pub replayed: bool,
}

/// Makes the two ends of a queue.
pub(super) fn channel() -> (mpsc::Sender<CreateRequest>, mpsc::Receiver<CreateRequest>) {
    mpsc::channel(CAPACITY)
}
