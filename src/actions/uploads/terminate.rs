//! End an unfinished upload at its client's request.

use super::{Upload, get};
use crate::actions::{ServeContext, files};
use crate::domain::{Error, ErrorCode, FileId, Result};

/// Cancels the upload, also while a request writes to it: that request fails. `StatusDoesNotAllow` when it has become a file.
pub async fn terminate(ctx: &ServeContext, id: FileId) -> Result<()> {
    match get(ctx, id).await? {
        Upload::Unfinished(_) => files::cancel(ctx, id).await.map(drop),
        Upload::Stored(_) => {
            let detail = format!("the upload is finished; delete the file with DELETE /files/{id}");
            Err(Error::new(ErrorCode::StatusDoesNotAllow, detail))
        }
    }
}
