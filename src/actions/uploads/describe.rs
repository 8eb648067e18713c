//! Media type of an upload by its first bytes, and fields that come behind them.

use crate::actions::{ServeContext, files};
use crate::db::uploads::LockId;
use crate::domain::uploads::UploadFields;
use crate::domain::{Error, ErrorCode, File, FileId, FileName, FileType, MediaType, Result};
use crate::processors::media_type::{Detected, detect};

/// Decides about the media type of bytes. `TypeNotAllowed` when files of this type are not taken.
pub(super) fn media_type(
    ctx: &ServeContext,
    head: &[u8],
    claimed: Option<&MediaType>,
    name: &FileName,
) -> Result<Detected> {
    let detected = detect(head, claimed, name);
    let checked = ctx.uploads.types.check(&detected.media_type, claimed);
    checked.map_err(|refused| Error::new(ErrorCode::TypeNotAllowed, refused.to_string()))?;
    Ok(detected)
}

/// Sets the media type by the first bytes.
pub(super) async fn by_content(ctx: &ServeContext, id: FileId, lock: LockId, head: &[u8]) -> Result<()> {
    let mut file = files::get(ctx, id).await?;
    let claimed = file.attributes.claimed_type.as_deref().and_then(|claimed| claimed.parse().ok());
    let name = FileName::clean(file.attributes.file_name.as_deref().unwrap_or_default());
    let detected = media_type(ctx, head, claimed.as_ref(), &name)?;
    set_type(&mut file, &detected);
    write(ctx, lock, &file).await
}

/// Sets fields that came behind the bytes.
pub(super) async fn by_fields(
    ctx: &ServeContext,
    (id, lock): (FileId, LockId),
    fields: &UploadFields,
) -> Result<()> {
    let mut file = files::get(ctx, id).await?;
    fields.describe(&mut file.title, &mut file.description, &mut file.attributes);
    write(ctx, lock, &file).await
}

fn set_type(file: &mut File, detected: &Detected) {
    detected.media_type.as_str().clone_into(&mut file.content_type);
    file.attributes.file_type = Some(FileType::of_media_type(detected.media_type.as_str()));
    file.attributes.set_type_warning(detected.warning.as_deref());
}

async fn write(ctx: &ServeContext, lock: LockId, file: &File) -> Result<()> {
    if ctx.db.uploads().describe(lock, file).await? {
        return Ok(());
    }
    Err(Error::new(ErrorCode::UploadLocked, "the upload has ended, or another request has taken it over"))
}
