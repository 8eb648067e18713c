//! JSON of files, as docs/API.md documents it. A new member of a domain type is not public until it is added here.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::files::attributes::Metadata;
use crate::domain::{
    Attempt, Error, FieldError, File, FileId, FileOrigin, FileType, Format, HistoryEntry, JsonObject,
    NewFile, Result, Stats, Status, Timestamp,
};
use crate::http::error::HttpError;
use crate::http::extract::json_body;
use crate::http::json_response;
use crate::http::validators::{Validators, http_date};

/// Record of a file.
#[derive(Debug, Serialize)]
pub(in crate::http::api) struct FileBody<'a> {
    id: FileId,
    title: &'a str,
    description: Option<&'a str>,
    status: Status,
    s3_location: Option<&'a str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    format: Option<Format>,
    content_type: &'a str,
    size: Option<i64>,
    sha256: Option<&'a str>,
    attempt: Attempt,
    error: Option<&'a str>,
    erased_at: Option<Timestamp>,
    origin: FileOrigin,
    file_name: Option<&'a str>,
    file_type: FileType,
    claimed_type: Option<&'a str>,
    uploaded_by: Option<&'a str>,
    uploaded_by_name: Option<&'a str>,
    folder: Option<&'a str>,
    tags: &'a [String],
    related_post_id: Option<&'a str>,
    related_category_id: Option<&'a str>,
    metadata: &'a Metadata,
    view_count: i64,
    download_count: i64,
    expires_at: Option<Timestamp>,
    trashed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_false")]
    description_truncated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl<'a> From<&'a File> for FileBody<'a> {
    fn from(file: &'a File) -> Self {
        let about = &file.attributes;
        Self {
            id: file.id,
            title: &file.title,
            description: file.description.as_deref(),
            status: file.status,
            s3_location: file.s3_location.as_deref(),
            created_at: file.created_at,
            updated_at: file.updated_at,
            format: file.format,
            content_type: &file.content_type,
            size: file.size,
            sha256: file.sha256.as_deref(),
            attempt: file.attempt,
            error: file.error.as_deref(),
            erased_at: file.erased_at,
            origin: about.origin,
            file_name: about.file_name.as_deref(),
            file_type: file.file_type(),
            claimed_type: about.claimed_type.as_deref(),
            uploaded_by: about.uploaded_by.as_deref(),
            uploaded_by_name: about.uploaded_by_name.as_deref(),
            folder: about.folder.as_deref(),
            tags: &about.tags,
            related_post_id: about.related_post_id.as_deref(),
            related_category_id: about.related_category_id.as_deref(),
            metadata: &about.metadata,
            view_count: about.view_count,
            download_count: about.download_count,
            expires_at: about.expires_at,
            trashed_at: about.trashed_at,
            description_truncated: file.description_truncated,
        }
    }
}

/// Returns what preconditions of a change are compared with: the validators of `GET /files/{id}`.
pub(super) fn validators(file: &File) -> Result<Validators> {
    let tag = json_response::strong_tag(&FileBody::from(file))?;
    Ok(Validators { tag: Some(tag), modified: Some(http_date(file.updated_at)) })
}

/// Page of the list.
#[derive(Debug)]
pub(in crate::http::api) struct FileListBody<'a>(pub &'a [File]);

impl Serialize for FileListBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(FileBody::from))
    }
}

/// History of a file, oldest transition first.
#[derive(Debug)]
pub(super) struct TimelineBody<'a>(pub &'a [HistoryEntry]);

impl Serialize for TimelineBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(TransitionBody::from))
    }
}

#[derive(Debug, Serialize)]
struct TransitionBody<'a> {
    at: Timestamp,
    from: Option<Status>,
    to: Status,
    attempt: Attempt,
    worker: Option<&'a str>,
    partition: Option<i32>,
    offset: Option<i64>,
    duration_ms: Option<i64>,
    error: Option<&'a str>,
}

impl<'a> From<&'a HistoryEntry> for TransitionBody<'a> {
    fn from(transition: &'a HistoryEntry) -> Self {
        Self {
            at: transition.at,
            from: transition.from,
            to: transition.to,
            attempt: transition.attempt,
            worker: transition.worker.as_deref(),
            partition: transition.partition,
            offset: transition.offset,
            duration_ms: transition.duration_ms,
            error: transition.error.as_deref(),
        }
    }
}

/// Number of files in each status.
#[derive(Debug, Serialize)]
pub(super) struct StatsBody {
    pending: i64,
    uploading: i64,
    processing: i64,
    completed: i64,
    failed: i64,
    cancelled: i64,
    deleted: i64,
    total: i64,
    oldest_unfinished_seconds: Option<f64>,
}

impl From<&Stats> for StatsBody {
    fn from(stats: &Stats) -> Self {
        Self {
            pending: stats.pending,
            uploading: stats.uploading,
            processing: stats.processing,
            completed: stats.completed,
            failed: stats.failed,
            cancelled: stats.cancelled,
            deleted: stats.deleted,
            total: stats.total,
            oldest_unfinished_seconds: stats.oldest_unfinished_seconds,
        }
    }
}

/// Body of `POST /files`, checked.
pub(in crate::http) struct NewFileBody(pub(super) NewFile);

/// Members of any type, so that each wrong type is reported and not the first alone.
#[derive(Deserialize)]
struct UncheckedNewFile {
    title: Option<serde_json::Value>,
    description: Option<serde_json::Value>,
    format: Option<serde_json::Value>,
}

impl FromRequest for NewFileBody {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = json_body::parse::<JsonObject<UncheckedNewFile>>(request, payload);
        async move { Ok(Self(body.await?.0.check()?)) }.boxed_local()
    }
}

impl UncheckedNewFile {
    fn check(self) -> Result<NewFile> {
        let mut wrong = Vec::new();
        let mut string = |pointer, value: Option<serde_json::Value>| match value {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(text),
            Some(_) => {
                wrong.push(FieldError { pointer, detail: format!("{} must be a string", &pointer[1..]) });
                None
            }
        };
        let title = string("/title", self.title);
        let description = string("/description", self.description);
        let format = string("/format", self.format);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        NewFile::new(title.as_deref(), description, format.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attributes;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn json(body: &impl Serialize) -> String {
        serde_json::to_string(body).unwrap()
    }

    fn file() -> File {
        File {
            id: FileId(7),
            title: "a \"title\" é".to_owned(),
            description: Some("two\nlines".to_owned()),
            status: Status::Completed,
            s3_location: Some("s3://bucket/files/7_a_1.txt".to_owned()),
            created_at: at("2026-01-03T00:00:00.001Z"),
            updated_at: at("2026-01-03T00:00:01.500Z"),
            format: Some(Format::Txt),
            content_type: Format::Txt.media_type().to_owned(),
            size: Some(182),
            sha256: Some("ab".to_owned()),
            attempt: Attempt(2),
            error: None,
            erased_at: None,
            description_truncated: true,
            attributes: Attributes::default(),
            sequence: 9,
        }
    }

    const FULL: &str = r#"{"id":7,"title":"a \"title\" é","description":"two\nlines","status":"completed","s3_location":"s3://bucket/files/7_a_1.txt","created_at":"2026-01-03T00:00:00.001Z","updated_at":"2026-01-03T00:00:01.500Z","format":"txt","content_type":"text/plain; charset=utf-8","size":182,"sha256":"ab","attempt":2,"error":null,"erased_at":null,"origin":"generated","file_name":null,"file_type":"text","claimed_type":null,"uploaded_by":null,"uploaded_by_name":null,"folder":null,"tags":[],"related_post_id":null,"related_category_id":null,"metadata":{},"view_count":0,"download_count":0,"expires_at":null,"trashed_at":null,"description_truncated":true}"#;

    const BARE: &str = r#"{"id":7,"title":"(deleted)","description":null,"status":"deleted","s3_location":null,"created_at":"2026-01-03T00:00:00.001Z","updated_at":"2026-01-03T00:00:01.500Z","format":"txt","content_type":"text/plain; charset=utf-8","size":null,"sha256":null,"attempt":2,"error":"why","erased_at":"2026-01-03T00:00:02.000Z","origin":"generated","file_name":null,"file_type":"text","claimed_type":null,"uploaded_by":null,"uploaded_by_name":null,"folder":null,"tags":[],"related_post_id":null,"related_category_id":null,"metadata":{},"view_count":0,"download_count":0,"expires_at":null,"trashed_at":null}"#;

    #[test]
    fn a_file_has_these_members_in_this_order() {
        let full = file();
        let bare = File {
            title: "(deleted)".to_owned(),
            description: None,
            status: Status::Deleted,
            s3_location: None,
            size: None,
            sha256: None,
            error: Some("why".to_owned()),
            erased_at: Some(at("2026-01-03T00:00:02Z")),
            description_truncated: false,
            ..file()
        };
        assert_eq!(json(&FileBody::from(&full)), FULL);
        assert_eq!(json(&FileBody::from(&bare)), BARE);
        assert_eq!(json(&FileListBody(&[full, bare])), format!("[{FULL},{BARE}]"));
        assert_eq!(json(&FileListBody(&[])), "[]");
    }

    #[test]
    fn the_tag_of_a_change_is_that_of_the_record_that_is_sent() {
        let validators = validators(&file()).unwrap();
        assert_eq!(validators.tag, Some(crate::http::etag::strong(FULL.as_bytes())));
        assert_eq!(validators.modified, Some(http_date(file().updated_at)));
    }

    #[test]
    fn a_transition_has_these_members_in_this_order() {
        let first = HistoryEntry {
            at: at("2026-01-03T00:00:00Z"),
            from: None,
            to: Status::Pending,
            attempt: Attempt(1),
            worker: None,
            partition: None,
            offset: None,
            duration_ms: None,
            error: None,
        };
        let last = HistoryEntry {
            from: Some(Status::Processing),
            to: Status::Failed,
            worker: Some("w".to_owned()),
            partition: Some(2),
            offset: Some(42),
            duration_ms: Some(1500),
            error: Some("why".to_owned()),
            ..first.clone()
        };
        assert_eq!(
            json(&TimelineBody(&[first, last])),
            concat!(
                r#"[{"at":"2026-01-03T00:00:00.000Z","from":null,"to":"pending","attempt":1,"worker":null,"partition":null,"offset":null,"duration_ms":null,"error":null},"#,
                r#"{"at":"2026-01-03T00:00:00.000Z","from":"processing","to":"failed","attempt":1,"worker":"w","partition":2,"offset":42,"duration_ms":1500,"error":"why"}]"#,
            )
        );
    }

    #[test]
    fn the_counts_have_these_members_in_this_order() {
        let stats = Stats {
            pending: 1,
            uploading: 0,
            processing: 2,
            completed: 3,
            failed: 4,
            cancelled: 5,
            deleted: 6,
            total: 21,
            oldest_unfinished_seconds: Some(1.5),
        };
        assert_eq!(
            json(&StatsBody::from(&stats)),
            r#"{"pending":1,"uploading":0,"processing":2,"completed":3,"failed":4,"cancelled":5,"deleted":6,"total":21,"oldest_unfinished_seconds":1.5}"#
        );
        assert!(json(&StatsBody::from(&Stats::default())).ends_with(r#""oldest_unfinished_seconds":null}"#));
    }
}
