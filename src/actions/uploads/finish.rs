//! Finish an upload whose bytes have all arrived: the object first, then row, history and events in one commit.

use super::Receiver;
use crate::actions::ServeContext;
use crate::actions::files::transition::{ChangeContext, Details, apply};
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::{Error, ErrorCode, File, Result};
use crate::faults;
use crate::storage::object_keys;

/// Makes what has arrived the content of the file. `DigestMismatch` when it is not what the client announced.
pub async fn finish(ctx: &ServeContext, receiver: &mut Receiver) -> Result<File> {
    receiver.check_digest()?;
    let stored = receiver.store_object().await?;
    let location = object_keys::location(&ctx.storage.bucket_name(), receiver.key());
    let (id, lock) = receiver.lock_id();
    let finished = ctx.db.uploads().finish(id, lock, |mut file, now| {
        let Decision::Apply(to) = evaluate(file.state(), Transition::Store, None) else {
            return (None, Err(ended(&file)));
        };
        let details = Details {
            s3_location: Some(location.clone()),
            size: Some(stored.size),
            sha256: Some(stored.sha256.clone()),
            ..Details::default()
        };
        match apply(&ChangeContext { now, events: &ctx.events }, &mut file, Transition::Store, to, details) {
            Ok(change) => (Some(change), Ok(file)),
            Err(error) => (None, Err(error)),
        }
    });
    let lost =
        || Error::new(ErrorCode::UploadLocked, "the upload has ended, or another request has taken it over");
    let file = finished.await?.ok_or_else(lost)??;
    faults::point!(UploadFinished);
    log::info!(file_id = file.id.0, size = stored.size; "file uploaded");
    Ok(file)
}

fn ended(file: &File) -> Error {
    let detail = format!("the upload has ended: the file is {}", file.status.name());
    Error::new(ErrorCode::StatusDoesNotAllow, detail)
}
