//! Finish an upload whose bytes have all arrived: the object first, then row, history and events in one commit.

use super::Receiver;
use crate::actions::ServeContext;
use crate::actions::files::transition::{ChangeContext, Details, apply};
use crate::db::files::Transitions;
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::{Error, ErrorCode, File, FileId, Result};
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
    let Some(finished) = finished.await? else {
        remove_unnamed(ctx, id, receiver.key()).await?;
        let detail = "the upload has ended, or another request has taken it over";
        return Err(Error::new(ErrorCode::UploadLocked, detail));
    };
    let file = finished?;
    faults::point!(UploadFinished);
    log::info!(file_id = file.id.0, size = stored.size; "file uploaded");
    Ok(file)
}

/// Has the object removed if the upload ended while it was stored: the removal for its end may have come too early. What a
/// completed file names stays.
async fn remove_unnamed(ctx: &ServeContext, id: FileId, key: &str) -> Result<()> {
    let queued = ctx.db.files().transition(vec![id], |files, _| {
        let ended = files.iter().filter(|file| !file.status.is_unfinished());
        let removals = ended.map(|file| (file.id, key.to_owned())).collect();
        (Transitions { removals, ..Transitions::default() }, ())
    });
    queued.await?;
    ctx.removals.notify_one();
    Ok(())
}

fn ended(file: &File) -> Error {
    let detail = format!("the upload has ended: the file is {}", file.status.name());
    Error::new(ErrorCode::StatusDoesNotAllow, detail)
}
