//! Meanings of the codes of errors, for docs/API.md.

use super::ErrorCode;

impl ErrorCode {
    /// Returns when the error occurs, in Markdown.
    #[expect(clippy::too_many_lines, reason = "one line for each code")]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::UploadNotFound => "no unfinished upload has this id; one that has ended is a file",
            Self::UploadLocked => "another request is writing to this upload; try again shortly",
            Self::OffsetMismatch => {
                "`Upload-Offset` is not the number of bytes that are stored; `HEAD` tells it"
            }
            Self::UploadTooLarge => {
                "an upload has, or announces, more bytes than `UPLOAD_MAX_SIZE`, or than it announced"
            }
            Self::TypeNotAllowed => {
                "files of this media type are not taken (`UPLOAD_ALLOWED_TYPES`, `UPLOAD_DENIED_TYPES`)"
            }
            Self::DigestMismatch => {
                "the uploaded bytes don't have the SHA-256 that the request names; nothing of them is kept"
            }
            Self::ChecksumMismatch => "a chunk doesn't have its `Upload-Checksum`; nothing of it is kept",
            Self::UnsupportedTusVersion => "`Tus-Resumable` is missing or not 1.0.0",
            Self::StorageFull => "the store has no space left",
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
            Self::FileDeleted => "the content of a deleted file, or a change of it",
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
                "a search (`q`, or a filter such as `tag`) took longer than 3 s, or waited so long for others: search for more letters, or narrow it down by `status`"
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
