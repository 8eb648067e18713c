//! `POST /files` as `multipart/form-data` (RFC 7578): uploads one file or several in one request.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::TryStreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::body_pieces::send;
use crate::actions::uploads::{self, Piece};
use crate::domain::uploads::{GivenFields, UploadField, UploadFields};
use crate::domain::{Error, ErrorCode, File, Result};
use crate::http::AppState;
use crate::http::api::files::body::{FileBody, FileListBody};
use crate::http::error::HttpResult;

/// Maximum number of files of one form.
const MAX_FILES: usize = 100;
/// Maximum number of parts of one form.
const MAX_PARTS: usize = 1000;
/// Maximum number of bytes of all its fields together.
const MAX_FIELD_BYTES: usize = 256 << 10;
/// Name of the parts that are files.
const FILE: &str = "file";

pub(in crate::http) async fn upload(
    request: HttpRequest,
    state: Data<AppState>,
    body: Payload,
) -> HttpResult {
    let files = receive(&request, &state, body).await?;
    let mut answer = HttpResponse::Created();
    Ok(match files.as_slice() {
        [file] => {
            let location = state.outer.address(&format!("/files/{}", file.id));
            answer.insert_header((header::LOCATION, location)).json(FileBody::from(file))
        }
        files => answer.json(FileListBody(files)),
    })
}

/// Receives the files of a form. Fields count for the files behind them and for the one directly before them.
pub(in crate::http) async fn receive(
    request: &HttpRequest,
    state: &Data<AppState>,
    body: Payload,
) -> Result<Vec<File>> {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        let detail = "uploads are sent without Content-Encoding";
        return Err(Error::new(ErrorCode::UnsupportedContentEncoding, detail));
    }
    let mut form = Multipart::new(request.headers(), body);
    let mut given = GivenFields::default();
    let mut files = Vec::new();
    let mut unfinished: Option<FileUpload> = None;
    let (mut parts, mut field_bytes) = (0, 0);
    while let Some(mut part) = form.try_next().await.map_err(|error| malformed(&error))? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(Error::new(
                ErrorCode::MalformedRequest,
                format!("a form may have {MAX_PARTS} parts"),
            ));
        }
        if is_file(&part) {
            if let Some(before) = unfinished.take() {
                files.push(before.finish(&given).await?);
            }
            if files.len() == MAX_FILES {
                let detail = format!("a form may have {MAX_FILES} files");
                return Err(Error::new(ErrorCode::MalformedRequest, detail));
            }
            let upload = FileUpload::start(state, &part, &given)?;
            unfinished = Some(upload.fill(&mut part).await?);
        } else {
            field_bytes += read_field(&mut part, &mut given, MAX_FIELD_BYTES - field_bytes).await?;
        }
    }
    if let Some(last) = unfinished {
        files.push(last.finish(&given).await?);
    }
    if files.is_empty() {
        let detail = "the form has no file: the part `file` is required";
        return Err(Error::new(ErrorCode::MalformedRequest, detail));
    }
    Ok(files)
}

fn is_file(part: &Field) -> bool {
    part.name() == Some(FILE)
}

/// Reads a part that is no file. Returns the number of its bytes.
async fn read_field(part: &mut Field, given: &mut GivenFields, limit: usize) -> Result<usize> {
    let field = part.name().and_then(UploadField::from_name);
    let mut value = Vec::new();
    let mut size = 0;
    while let Some(bytes) = part.try_next().await.map_err(|error| malformed(&error))? {
        size += bytes.len();
        if size > limit {
            let detail = format!("the fields of a form may have {MAX_FIELD_BYTES} bytes in all");
            return Err(Error::new(ErrorCode::BodyTooLarge, detail));
        }
        value.extend_from_slice(&bytes);
    }
    // Fields that mean nothing here are ignored, as members of JSON are.
    if let Some(field) = field {
        let text = String::from_utf8(value).map_err(|_| {
            let detail = format!("the field {} is not UTF-8", field.name());
            Error::new(ErrorCode::MalformedRequest, detail)
        })?;
        given.add(field, &text);
    }
    Ok(size)
}

/// Upload of one file of the form, by a task of the process's runtime.
struct FileUpload {
    pieces: mpsc::Sender<Piece>,
    last_fields: oneshot::Sender<UploadFields>,
    file_name: Option<String>,
    claimed_type: Option<String>,
    task: JoinHandle<Result<File>>,
}

impl FileUpload {
    fn start(state: &Data<AppState>, part: &Field, given: &GivenFields) -> Result<Self> {
        let file_name = part.content_disposition().and_then(|disposition| {
            let extended = disposition.get_filename_ext();
            let extended = extended.and_then(|name| String::from_utf8(name.value.clone()).ok());
            extended.or_else(|| disposition.get_filename().map(str::to_owned))
        });
        let claimed_type = part.content_type().map(ToString::to_string);
        let fields = given.check(file_name.as_deref(), claimed_type.as_deref())?;
        let (pieces, received) = uploads::pieces();
        let (last_fields, last) = oneshot::channel();
        let ctx = state.ctx.clone();
        let task = async move { uploads::upload(&ctx, fields, received, last).await };
        let task = state.runtime.spawn(task);
        Ok(Self { pieces, last_fields, file_name, claimed_type, task })
    }

    /// Passes on the bytes of the part.
    async fn fill(self, part: &mut Field) -> Result<Self> {
        while let Some(bytes) = part.try_next().await.map_err(|error| malformed(&error))? {
            if !send(&self.pieces, bytes).await {
                // It has failed, and says why.
                let failed = joined(self.task).await;
                return Err(failed.err().unwrap_or_else(|| Error::internal("the upload ended early")));
            }
        }
        Ok(self)
    }

    /// Tells that the part has come to its end, with the fields that have come until now.
    async fn finish(self, given: &GivenFields) -> Result<File> {
        let fields = given.check(self.file_name.as_deref(), self.claimed_type.as_deref())?;
        let _ = self.pieces.send(Piece::End).await;
        let _ = self.last_fields.send(fields);
        joined(self.task).await
    }
}

async fn joined(task: JoinHandle<Result<File>>) -> Result<File> {
    task.await.unwrap_or_else(|error| Err(Error::internal("the upload failed").because(error)))
}

fn malformed(error: &MultipartError) -> Error {
    Error::new(ErrorCode::MalformedForm, format!("the form can't be read: {error}"))
}
