//! Append bytes to an upload: the body of one request, from the offset that the client names.

use super::fill::{Piece, Pieces};
use super::{Receiver, abort, finish, lock};
use crate::actions::ServeContext;
use crate::domain::uploads::{ChecksumVerifier, UploadChecksum};
use crate::domain::{Error, ErrorCode, Fault, File, FileId, Result};

/// Request to append bytes.
#[derive(Debug, Default)]
pub struct AppendRequest {
    pub offset: u64,
    /// Number of bytes of the whole upload, where it was not told before.
    pub length: Option<u64>,
    /// Checksum of the bytes of this request.
    pub checksum: Option<UploadChecksum>,
}

/// State of an upload after a request.
#[derive(Debug)]
pub struct Appended {
    /// Number of stored bytes.
    pub offset: u64,
    /// The file, once all bytes are there.
    pub file: Option<File>,
}

/// Appends the bytes of a request. What has arrived of one that is cut off is kept, unless it has a checksum.
pub async fn append(
    ctx: &ServeContext,
    id: FileId,
    request: AppendRequest,
    pieces: Pieces,
) -> Result<Appended> {
    let mut receiver = lock(ctx, id).await?;
    if let Err(error) = accept(&mut receiver, &request) {
        receiver.release().await?;
        return Err(error);
    }
    write(ctx, receiver, request.checksum, pieces).await
}

fn accept(receiver: &mut Receiver, request: &AppendRequest) -> Result<()> {
    let stored = receiver.received();
    if stored != request.offset {
        let detail = format!("{stored} bytes are stored; Upload-Offset is {}", request.offset);
        return Err(Error::new(ErrorCode::OffsetMismatch, detail));
    }
    receiver.set_length(request.length)
}

/// Writes the pieces to an upload whose lock is held, and finishes it when they are the last.
pub async fn write(
    ctx: &ServeContext,
    mut receiver: Receiver,
    checksum: Option<UploadChecksum>,
    mut pieces: Pieces,
) -> Result<Appended> {
    let filled = match checksum {
        None => receiver.fill(&mut pieces).await.map(drop),
        Some(checksum) => fill_checked(&mut receiver, &mut pieces, checksum).await,
    };
    if let Err(error) = filled {
        if error.code == ErrorCode::TypeNotAllowed {
            abort(ctx, receiver, &error.detail).await?;
            return Err(error);
        }
        // The committed bytes stay, so that the client can go on behind them.
        receiver.release().await?;
        return Err(error);
    }
    let offset = receiver.received();
    if receiver.length != Some(offset) {
        if let Err(error) = receiver.suspend().await {
            receiver.release().await?;
            return Err(error);
        }
        return Ok(Appended { offset, file: None });
    }
    match complete(ctx, &mut receiver).await {
        Ok(file) => Ok(Appended { offset, file: Some(file) }),
        // Another try would give the same.
        Err(error) if error.kind.fault() == Fault::Caller && error.code != ErrorCode::UploadLocked => {
            abort(ctx, receiver, &error.detail).await?;
            Err(error)
        }
        Err(error) => {
            receiver.release().await?;
            Err(error)
        }
    }
}

async fn complete(ctx: &ServeContext, receiver: &mut Receiver) -> Result<File> {
    receiver.tell_type().await?;
    finish(ctx, receiver).await
}

/// Takes all pieces, and commits none of them unless they have the checksum.
async fn fill_checked(receiver: &mut Receiver, pieces: &mut Pieces, checksum: UploadChecksum) -> Result<()> {
    receiver.commits = false;
    let mut verifier = ChecksumVerifier::new(checksum);
    loop {
        match tokio::time::timeout(super::PROGRESS_INTERVAL, pieces.recv()).await {
            Ok(Some(Piece::Bytes(bytes))) => {
                verifier.update(&bytes);
                receiver.push(bytes).await?;
            }
            Ok(Some(Piece::End)) => break,
            Ok(None) => return Err(Error::new(ErrorCode::ChecksumMismatch, "the request was cut off")),
            Err(_) => receiver.commit_progress().await?,
        }
    }
    if !verifier.matches() {
        let detail = "the bytes of the request don't have its Upload-Checksum";
        return Err(Error::new(ErrorCode::ChecksumMismatch, detail));
    }
    receiver.commits = true;
    Ok(())
}
