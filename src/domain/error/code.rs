//! Codes of errors, for programs: each with its kind and meaning. docs/API.md lists them.

use super::kind::ErrorKind;

/// Stable code of an error. Clients may rely on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    MalformedJson,
    MalformedRequest,
    InvalidFileId,
    InvalidDeadLetterId,
    InvalidIdempotencyKey,
    InvalidQuery,
    InvalidCursor,
    InvalidHost,
    CrossSiteRequest,
    FileNotFound,
    DeadLetterNotFound,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    FileNotReady,
    FileHasNoContent,
    StatusDoesNotAllow,
    DeadLetterNotReplayable,
    DeadLetterSettled,
    FileDeleted,
    ObjectMissing,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    UnsupportedContentEncoding,
    RangeNotSatisfiable,
    HostNotAllowed,
    ValidationFailed,
    IdempotencyKeyReused,
    Internal,
    ObjectAltered,
    DatabaseUnavailable,
    DatabaseReadOnly,
    StorageUnavailable,
    SearchTooSlow,
    Overloaded,
    Stopping,
    MalformedForm,
    CrossSiteForm,
    FormCookieMissing,
    FormTokenInvalid,
    AssetNotFound,
    InvalidResult,
    UnreadableRecord,
    UndecodableRecords,
    Busy,
    KafkaUnavailable,
}

/// Answers in which a code can occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Answers of the API, and pages that show the same error.
    Api,
    /// Answers to pages alone.
    Pages,
    /// No answer: the code is in logs and dead letters only.
    Internal,
}

impl ErrorCode {
    /// All codes, in the order of the documentation.
    pub const ALL: [Self; 48] = [
        Self::MalformedJson,
        Self::MalformedRequest,
        Self::InvalidFileId,
        Self::InvalidDeadLetterId,
        Self::InvalidIdempotencyKey,
        Self::InvalidQuery,
        Self::InvalidCursor,
        Self::InvalidHost,
        Self::CrossSiteRequest,
        Self::FileNotFound,
        Self::DeadLetterNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::FileNotReady,
        Self::FileHasNoContent,
        Self::StatusDoesNotAllow,
        Self::DeadLetterNotReplayable,
        Self::DeadLetterSettled,
        Self::FileDeleted,
        Self::ObjectMissing,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::UnsupportedContentEncoding,
        Self::RangeNotSatisfiable,
        Self::HostNotAllowed,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::Internal,
        Self::ObjectAltered,
        Self::DatabaseUnavailable,
        Self::DatabaseReadOnly,
        Self::StorageUnavailable,
        Self::SearchTooSlow,
        Self::Overloaded,
        Self::Stopping,
        Self::MalformedForm,
        Self::CrossSiteForm,
        Self::FormCookieMissing,
        Self::FormTokenInvalid,
        Self::AssetNotFound,
        Self::InvalidResult,
        Self::UnreadableRecord,
        Self::UndecodableRecords,
        Self::Busy,
        Self::KafkaUnavailable,
    ];

    /// Returns the name that answers and logs use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::MalformedRequest => "malformed_request",
            Self::InvalidFileId => "invalid_file_id",
            Self::InvalidDeadLetterId => "invalid_letter_id",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::InvalidQuery => "invalid_query",
            Self::InvalidCursor => "invalid_cursor",
            Self::InvalidHost => "invalid_host",
            Self::CrossSiteRequest => "cross_site_request",
            Self::FileNotFound => "file_not_found",
            Self::DeadLetterNotFound => "letter_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::RequestTimeout => "request_timeout",
            Self::FileNotReady => "file_not_ready",
            Self::FileHasNoContent => "file_has_no_content",
            Self::StatusDoesNotAllow => "status_does_not_allow",
            Self::DeadLetterNotReplayable => "letter_not_replayable",
            Self::DeadLetterSettled => "letter_settled",
            Self::FileDeleted => "file_deleted",
            Self::ObjectMissing => "object_missing",
            Self::PreconditionFailed => "precondition_failed",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::HostNotAllowed => "host_not_allowed",
            Self::ValidationFailed => "validation_failed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Internal => "internal",
            Self::ObjectAltered => "object_altered",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseReadOnly => "database_read_only",
            Self::StorageUnavailable => "storage_unavailable",
            Self::SearchTooSlow => "search_too_slow",
            Self::Overloaded => "overloaded",
            Self::Stopping => "stopping",
            Self::MalformedForm => "malformed_form",
            Self::CrossSiteForm => "cross_site_form",
            Self::FormCookieMissing => "form_cookie_missing",
            Self::FormTokenInvalid => "form_token_invalid",
            Self::AssetNotFound => "asset_not_found",
            Self::InvalidResult => "invalid_result",
            Self::UnreadableRecord => "unreadable_record",
            Self::UndecodableRecords => "undecodable_records",
            Self::Busy => "busy",
            Self::KafkaUnavailable => "kafka_unavailable",
        }
    }

    /// Returns the kind of error that the code belongs to.
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::MalformedJson
            | Self::MalformedRequest
            | Self::InvalidFileId
            | Self::InvalidDeadLetterId
            | Self::InvalidIdempotencyKey
            | Self::InvalidQuery
            | Self::InvalidCursor
            | Self::InvalidHost
            | Self::MalformedForm
            | Self::UnreadableRecord
            | Self::UndecodableRecords => ErrorKind::Malformed,
            Self::CrossSiteRequest
            | Self::CrossSiteForm
            | Self::FormCookieMissing
            | Self::FormTokenInvalid => ErrorKind::Forbidden,
            Self::FileNotFound | Self::DeadLetterNotFound | Self::NotFound | Self::AssetNotFound => {
                ErrorKind::NotFound
            }
            Self::MethodNotAllowed => ErrorKind::MethodNotAllowed,
            Self::NotAcceptable => ErrorKind::NotAcceptable,
            Self::RequestTimeout => ErrorKind::Timeout,
            Self::FileNotReady
            | Self::FileHasNoContent
            | Self::StatusDoesNotAllow
            | Self::DeadLetterNotReplayable
            | Self::DeadLetterSettled => ErrorKind::Conflict,
            Self::FileDeleted | Self::ObjectMissing => ErrorKind::Gone,
            Self::PreconditionFailed => ErrorKind::PreconditionFailed,
            Self::BodyTooLarge => ErrorKind::TooLarge,
            Self::UnsupportedMediaType | Self::UnsupportedContentEncoding => ErrorKind::UnsupportedMedia,
            Self::RangeNotSatisfiable => ErrorKind::RangeNotSatisfiable,
            Self::HostNotAllowed => ErrorKind::Misdirected,
            Self::ValidationFailed | Self::IdempotencyKeyReused | Self::InvalidResult => ErrorKind::Invalid,
            Self::Internal | Self::ObjectAltered => ErrorKind::Internal,
            Self::DatabaseUnavailable
            | Self::DatabaseReadOnly
            | Self::StorageUnavailable
            | Self::SearchTooSlow
            | Self::Overloaded
            | Self::Stopping
            | Self::Busy
            | Self::KafkaUnavailable => ErrorKind::Unavailable,
        }
    }

    /// Returns the answers in which the code can occur.
    pub const fn scope(self) -> Scope {
        match self {
            Self::MalformedForm
            | Self::CrossSiteForm
            | Self::FormCookieMissing
            | Self::FormTokenInvalid
            | Self::AssetNotFound => Scope::Pages,
            Self::InvalidResult
            | Self::UnreadableRecord
            | Self::UndecodableRecords
            | Self::Busy
            | Self::KafkaUnavailable => Scope::Internal,
            Self::MalformedJson
            | Self::MalformedRequest
            | Self::InvalidFileId
            | Self::InvalidDeadLetterId
            | Self::InvalidIdempotencyKey
            | Self::InvalidQuery
            | Self::InvalidCursor
            | Self::InvalidHost
            | Self::CrossSiteRequest
            | Self::FileNotFound
            | Self::DeadLetterNotFound
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::RequestTimeout
            | Self::FileNotReady
            | Self::FileHasNoContent
            | Self::StatusDoesNotAllow
            | Self::DeadLetterNotReplayable
            | Self::DeadLetterSettled
            | Self::FileDeleted
            | Self::ObjectMissing
            | Self::PreconditionFailed
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::UnsupportedContentEncoding
            | Self::RangeNotSatisfiable
            | Self::HostNotAllowed
            | Self::ValidationFailed
            | Self::IdempotencyKeyReused
            | Self::Internal
            | Self::ObjectAltered
            | Self::DatabaseUnavailable
            | Self::DatabaseReadOnly
            | Self::StorageUnavailable
            | Self::SearchTooSlow
            | Self::Overloaded
            | Self::Stopping => Scope::Api,
        }
    }

    /// Returns when the error occurs, in Markdown.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::MalformedJson => "the body isn't JSON, or no object",
            Self::MalformedRequest => "the body can't be read for another reason, such as broken gzip",
            Self::InvalidFileId => "`{id}` isn't an id",
            Self::InvalidDeadLetterId => "`{id}` isn't the id of a dead letter",
            Self::InvalidIdempotencyKey => {
                "the header isn't 1 to 255 printable ASCII characters, or comes twice"
            }
            Self::InvalidQuery => "a query parameter breaks its rule, comes twice, or isn't UTF-8",
            Self::InvalidCursor => "`cursor` isn't one that the list gave out",
            Self::InvalidHost => "`Host`, or the host of the request target, isn't one",
            Self::CrossSiteRequest => {
                "another site's page asks for a change; see [hosts and senders](#hosts-and-senders)"
            }
            Self::FileNotFound => "there is no file with this id",
            Self::DeadLetterNotFound => "there is no dead letter with this id",
            Self::NotFound => "there is nothing at this path",
            Self::MethodNotAllowed => "see `Allow`",
            Self::NotAcceptable => "`Accept-Encoding` forbids every coding that the answer can have",
            Self::RequestTimeout => "the body didn't arrive in time, or arrived at less than 1 KiB/s",
            Self::FileNotReady => "the content of a file that is pending or processing",
            Self::FileHasNoContent => "the content of a file that failed or was cancelled",
            Self::StatusDoesNotAllow => {
                "cancel or retry of a file whose status doesn't allow it; `detail` says which do"
            }
            Self::DeadLetterNotReplayable => {
                "a replay of a dead letter that can't be replayed, now or at all; `detail` says why"
            }
            Self::DeadLetterSettled => "a dead letter that was replayed is discarded",
            Self::FileDeleted => "the content of a deleted file",
            Self::ObjectMissing => "the file is completed and its object is no longer in the store",
            Self::PreconditionFailed => "a [precondition](#preconditions) of the request does not hold",
            Self::BodyTooLarge => {
                "also where no body is needed; one that `Content-Length` announces is refused before it arrives"
            }
            Self::UnsupportedMediaType => "the body isn't announced as JSON in UTF-8",
            Self::UnsupportedContentEncoding => "the body's coding isn't one of those in `Accept-Encoding`",
            Self::RangeNotSatisfiable => "no byte of the range exists",
            Self::HostNotAllowed => {
                "the server doesn't answer to this host; see [hosts and senders](#hosts-and-senders)"
            }
            Self::ValidationFailed => "the body can be read and breaks a rule; `errors` says which",
            Self::IdempotencyKeyReused => "the key was used for another file",
            Self::Internal => "our own fault; the log has the cause under `request_id`",
            Self::ObjectAltered => {
                "the stored object is not what the record says: another length, or another SHA-256. Of one that is longer than 1 MiB the download is cut off before its end instead. A range is compared by its length only"
            }
            Self::DatabaseUnavailable => "PostgreSQL is down or too slow",
            Self::DatabaseReadOnly => {
                "PostgreSQL takes no writes: a standby, or a primary that was made read only"
            }
            Self::StorageUnavailable => {
                "S3 is down, too slow, without our bucket, or refuses our credentials (downloads only)"
            }
            Self::SearchTooSlow => {
                "a search (`q`) took longer than 3 s, or waited so long for others: search for more letters, or narrow it down by `status`"
            }
            Self::Overloaded => {
                "too many requests wait to be stored, too many large bodies are arriving at once, or too many large answers wait for their clients"
            }
            Self::Stopping => "the process is on its way out, and the body had not arrived a second later",
            Self::MalformedForm => "the form can't be read, has a field twice, or isn't UTF-8",
            Self::CrossSiteForm => "the form was sent from elsewhere",
            Self::FormCookieMissing => {
                "the browser sent neither the form's cookie nor where the form comes from"
            }
            Self::FormTokenInvalid => "the form's token is not the one of this browser's cookie",
            Self::AssetNotFound => "there is no asset with this name",
            Self::InvalidResult => {
                "a result of a worker contradicts the object, or names a place that is not the file's own"
            }
            Self::UnreadableRecord => "the value of a record can't be read",
            Self::UndecodableRecords => "a batch of records can't be decoded",
            Self::Busy => "a handler has no capacity left",
            Self::KafkaUnavailable => "Kafka is down or too slow",
        }
    }
}
