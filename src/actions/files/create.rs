//! Ask for a file: the request is queued, and answered once the job `commit_requests` has committed it.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::actions::ServeContext;
use crate::actions::create_queue::{CreateRequest, Created};
use crate::domain::{Error, ErrorCode, IdempotencyKey, NewFile, Result};

/// Time that a request waits for a place in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates a file and answers once its row and its messages have committed.
///
/// After an `Unavailable` the file may exist all the same; repeating the request with the same key tells. A key that was
/// used for another request is `Invalid`.
pub async fn create(ctx: &ServeContext, new: NewFile, key: Option<IdempotencyKey>) -> Result<Created> {
    let busy = || {
        ctx.overload.fails("requests come faster than they are stored");
        Error::new(ErrorCode::Overloaded, "too many requests are waiting; try again shortly")
    };
    let (reply, answer) = oneshot::channel();
    let request = CreateRequest { new, key, reply };
    ctx.create_requests.send_timeout(request, QUEUE_TIMEOUT).await.map_err(|_| busy())?;
    let created = answer.await.map_err(|_| busy())?;
    ctx.overload.works();
    created
}
