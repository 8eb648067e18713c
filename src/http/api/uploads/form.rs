//! `POST /files` as `multipart/form-data` (RFC 7578): uploads one file or several in one request.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
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
/// Name of the field that protects forms of pages.
const CSRF_TOKEN: &str = "csrf_token";

pub(in crate::http) async fn upload(
    request: HttpRequest,
    state: Data<AppState>,
    body: Payload,
) -> HttpResult {
    let mut form = ReceivedForm::default();
    form.receive(&request, &state, body, |_| Ok(())).await?;
    let mut answer = HttpResponse::Created();
    Ok(match form.files.as_slice() {
        [] => {
            let detail = "the form has no file: the part `file` is required";
            return Err(Error::new(ErrorCode::MalformedRequest, detail).into());
        }
        [file] => {
            let location = state.outer.address(&format!("/files/{}", file.id));
            answer.insert_header((header::LOCATION, location)).json(FileBody::from(file))
        }
        files => answer.json(FileListBody(files)),
    })
}

/// Parts of a form that have arrived. After an error they are what came before it.
#[derive(Default)]
pub(in crate::http) struct ReceivedForm {
    pub given: GivenFields,
    /// Value of the field that protects forms of pages.
    pub csrf_token: String,
    /// Files that are stored.
    pub files: Vec<File>,
}

impl ReceivedForm {
    /// Receives the fields and files of a form. Fields count for the files behind them and for the one directly before them.
    /// `check` gets the token before the first file is stored, and may refuse the form.
    pub async fn receive(
        &mut self,
        request: &HttpRequest,
        state: &Data<AppState>,
        body: Payload,
        check: impl Fn(&str) -> Result<()>,
    ) -> Result<()> {
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            let detail = "uploads are sent without Content-Encoding";
            return Err(Error::new(ErrorCode::UnsupportedContentEncoding, detail));
        }
        let mut form = Multipart::new(request.headers(), body);
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
                    self.files.push(before.finish(&self.given).await?);
                }
                // A browser sends a part without name and bytes when no file was chosen.
                let mut first = None;
                if has_empty_name(&part) {
                    first = next_bytes(&mut part).await?;
                    if first.is_none() {
                        continue;
                    }
                }
                check(&self.csrf_token)?;
                if self.files.len() == MAX_FILES {
                    let detail = format!("a form may have {MAX_FILES} files");
                    return Err(Error::new(ErrorCode::MalformedRequest, detail));
                }
                let upload = FileUpload::start(state, &part, &self.given)?;
                unfinished = Some(upload.fill(first, &mut part).await?);
            } else {
                field_bytes += self.read_field(&mut part, MAX_FIELD_BYTES - field_bytes).await?;
            }
        }
        if let Some(last) = unfinished {
            self.files.push(last.finish(&self.given).await?);
        }
        Ok(())
    }

    /// Reads a part that is no file. Returns the number of its bytes.
    async fn read_field(&mut self, part: &mut Field, limit: usize) -> Result<usize> {
        let is_token = part.name() == Some(CSRF_TOKEN);
        let field = part.name().and_then(UploadField::from_name);
        let mut value = Vec::new();
        let mut size = 0;
        while let Some(bytes) = next_bytes(part).await? {
            size += bytes.len();
            if size > limit {
                let detail = format!("the fields of a form may have {MAX_FIELD_BYTES} bytes in all");
                return Err(Error::new(ErrorCode::BodyTooLarge, detail));
            }
            value.extend_from_slice(&bytes);
        }
        if is_token {
            self.csrf_token = String::from_utf8_lossy(&value).into_owned();
        }
        // Fields that mean nothing here are ignored, as members of JSON are.
        if let Some(field) = field {
            let text = String::from_utf8(value).map_err(|_| {
                let detail = format!("the field {} is not UTF-8", field.name());
                Error::new(ErrorCode::MalformedRequest, detail)
            })?;
            self.given.add(field, &text);
        }
        Ok(size)
    }
}

async fn next_bytes(part: &mut Field) -> Result<Option<Bytes>> {
    part.try_next().await.map_err(|error| malformed(&error))
}

fn has_empty_name(part: &Field) -> bool {
    part.content_disposition().and_then(|disposition| disposition.get_filename()) == Some("")
}

fn is_file(part: &Field) -> bool {
    part.name() == Some(FILE)
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

    /// Passes on the bytes of the part, of which some were read already.
    async fn fill(self, first: Option<Bytes>, part: &mut Field) -> Result<Self> {
        let mut next = first;
        if next.is_none() {
            next = next_bytes(part).await?;
        }
        while let Some(bytes) = next {
            if !send(&self.pieces, bytes).await {
                // It has failed, and says why.
                let failed = joined(self.task).await;
                return Err(failed.err().unwrap_or_else(|| Error::internal("the upload ended early")));
            }
            next = next_bytes(part).await?;
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
