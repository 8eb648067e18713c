//! Change what people say of a file: title, description, name, tags, folder, relations.

use super::{get, transition};
use crate::actions::{Guard, ServeContext};
use crate::db::files::Update;
use crate::domain::files::FilePatch;
use crate::domain::{Error, ErrorCode, EventType, File, FileId, Result, Status};

/// The file, changed, if the guard allows it; row and event commit together. A patch that changes nothing makes no event. Its
/// object stays where it is and as it is, whatever the file is called now.
pub async fn update_if(ctx: &ServeContext, id: FileId, patch: FilePatch, guard: Guard<File>) -> Result<File> {
    let events = ctx.events.clone();
    let updated = ctx.db.files().update(id, move |file, now| {
        if file.status == Status::Deleted {
            return (None, Err(Error::new(ErrorCode::FileDeleted, "the file was deleted")));
        }
        if let Err(error) = guard.check(&file) {
            return (None, Err(error));
        }
        let mut changed = file.clone();
        patch.apply(&mut changed);
        if changed == file {
            return (None, Ok(file));
        }
        changed.updated_at = now;
        changed.sequence += 1;
        match transition::event(&changed, EventType::Updated, &events) {
            Ok(event) => {
                let potential_orphan = transition::key_left_behind(&file, &changed);
                let update = Update { file: changed.clone(), messages: vec![event], potential_orphan };
                (Some(update), Ok(changed))
            }
            Err(error) => (None, Err(error)),
        }
    });
    updated.await?.ok_or_else(|| get::not_found(id))?
}
