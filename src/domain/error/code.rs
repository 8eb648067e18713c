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
    UploadNotFound,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    FileNotReady,
    FileHasNoContent,
    StatusDoesNotAllow,
    DeadLetterNotReplayable,
    DeadLetterSettled,
    UploadLocked,
    OffsetMismatch,
    FileDeleted,
    ObjectMissing,
    PreconditionFailed,
    UnsupportedTusVersion,
    BodyTooLarge,
    UploadTooLarge,
    UnsupportedMediaType,
    TypeNotAllowed,
    UnsupportedContentEncoding,
    RangeNotSatisfiable,
    HostNotAllowed,
    ValidationFailed,
    IdempotencyKeyReused,
    DigestMismatch,
    ChecksumMismatch,
    Internal,
    ObjectAltered,
    DatabaseUnavailable,
    DatabaseReadOnly,
    StorageUnavailable,
    StorageFull,
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
    pub const ALL: [Self; 57] = [
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
        Self::UploadNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::FileNotReady,
        Self::FileHasNoContent,
        Self::StatusDoesNotAllow,
        Self::DeadLetterNotReplayable,
        Self::DeadLetterSettled,
        Self::UploadLocked,
        Self::OffsetMismatch,
        Self::FileDeleted,
        Self::ObjectMissing,
        Self::PreconditionFailed,
        Self::UnsupportedTusVersion,
        Self::BodyTooLarge,
        Self::UploadTooLarge,
        Self::UnsupportedMediaType,
        Self::TypeNotAllowed,
        Self::UnsupportedContentEncoding,
        Self::RangeNotSatisfiable,
        Self::HostNotAllowed,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::DigestMismatch,
        Self::ChecksumMismatch,
        Self::Internal,
        Self::ObjectAltered,
        Self::DatabaseUnavailable,
        Self::DatabaseReadOnly,
        Self::StorageUnavailable,
        Self::StorageFull,
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
            Self::UploadNotFound => "upload_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::RequestTimeout => "request_timeout",
            Self::FileNotReady => "file_not_ready",
            Self::FileHasNoContent => "file_has_no_content",
            Self::StatusDoesNotAllow => "status_does_not_allow",
            Self::DeadLetterNotReplayable => "letter_not_replayable",
            Self::DeadLetterSettled => "letter_settled",
            Self::UploadLocked => "upload_locked",
            Self::OffsetMismatch => "offset_mismatch",
            Self::FileDeleted => "file_deleted",
            Self::ObjectMissing => "object_missing",
            Self::PreconditionFailed => "precondition_failed",
            Self::UnsupportedTusVersion => "unsupported_tus_version",
            Self::BodyTooLarge => "body_too_large",
            Self::UploadTooLarge => "upload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TypeNotAllowed => "type_not_allowed",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::HostNotAllowed => "host_not_allowed",
            Self::ValidationFailed => "validation_failed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::DigestMismatch => "digest_mismatch",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::Internal => "internal",
            Self::ObjectAltered => "object_altered",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseReadOnly => "database_read_only",
            Self::StorageUnavailable => "storage_unavailable",
            Self::StorageFull => "storage_full",
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
            Self::FileNotFound
            | Self::DeadLetterNotFound
            | Self::UploadNotFound
            | Self::NotFound
            | Self::AssetNotFound => ErrorKind::NotFound,
            Self::MethodNotAllowed => ErrorKind::MethodNotAllowed,
            Self::NotAcceptable => ErrorKind::NotAcceptable,
            Self::RequestTimeout => ErrorKind::Timeout,
            Self::FileNotReady
            | Self::FileHasNoContent
            | Self::StatusDoesNotAllow
            | Self::DeadLetterNotReplayable
            | Self::DeadLetterSettled
            | Self::OffsetMismatch => ErrorKind::Conflict,
            Self::FileDeleted | Self::ObjectMissing => ErrorKind::Gone,
            Self::PreconditionFailed | Self::UnsupportedTusVersion => ErrorKind::PreconditionFailed,
            Self::BodyTooLarge | Self::UploadTooLarge => ErrorKind::TooLarge,
            Self::UnsupportedMediaType | Self::TypeNotAllowed | Self::UnsupportedContentEncoding => {
                ErrorKind::UnsupportedMedia
            }
            Self::RangeNotSatisfiable => ErrorKind::RangeNotSatisfiable,
            Self::HostNotAllowed => ErrorKind::Misdirected,
            Self::ValidationFailed
            | Self::IdempotencyKeyReused
            | Self::DigestMismatch
            | Self::InvalidResult => ErrorKind::Invalid,
            Self::UploadLocked => ErrorKind::Locked,
            Self::ChecksumMismatch => ErrorKind::ChecksumMismatch,
            Self::StorageFull => ErrorKind::StorageFull,
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
            | Self::Stopping
            | Self::UploadNotFound
            | Self::UploadLocked
            | Self::OffsetMismatch
            | Self::UploadTooLarge
            | Self::TypeNotAllowed
            | Self::DigestMismatch
            | Self::ChecksumMismatch
            | Self::UnsupportedTusVersion
            | Self::StorageFull => Scope::Api,
        }
    }
}
