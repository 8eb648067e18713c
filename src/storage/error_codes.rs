//! S3 error codes of Amazon and of other servers, and the class of each.

/// Class of an error, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The same request may succeed later; a full store counts as an outage as well.
    Transient,
    /// The bucket is in another region or at another address.
    WrongLocation,
    /// The server speaks S3, but doesn't support what is needed, or not for this bucket.
    Unsupported,
    /// Credentials or permissions are wrong.
    Denied,
    /// The bytes were altered on the way.
    Corrupt,
    /// The bucket does not exist.
    NoBucket,
    /// The object or upload does not exist.
    NotFound,
    /// This object can never be stored, or not of these parts, whatever the status is.
    InvalidObject,
}

const CODES: [(ErrorClass, &[&str]); 8] = [
    (
        ErrorClass::Transient,
        &[
            "BandwidthLimitExceeded",
            "BucketNotReady",
            "Busy",
            "ConditionalRequestConflict",
            "DiskFull",
            "ExpiredPresignedRequest",
            "IncompleteBody",
            "InsufficientCapacity",
            "InsufficientStorage",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "LimitExceededException",
            "OperationAborted",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "QuotaExceeded",
            "QuotaExceededException",
            "RequestExpired",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestTimeTooSkewed",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServerBusy",
            "ServerNotInitialized",
            "ServiceUnavailable",
            "StorageFull",
            "TooManyRequests",
            "TooManyRequestsException",
            "Unavailable",
        ],
    ),
    (
        ErrorClass::WrongLocation,
        &[
            "AuthorizationHeaderMalformed",
            "AuthorizationQueryParametersError",
            "BucketRegionError",
            "IllegalLocationConstraint",
            "IllegalLocationConstraintException",
            "IncorrectEndpoint",
            "InvalidLocationConstraint",
            "InvalidRegion",
            "PermanentRedirect",
            "Redirect",
            "TemporaryRedirect",
        ],
    ),
    (
        ErrorClass::Unsupported,
        &[
            "BucketAlreadyExists",
            "InvalidBucketName",
            "InvalidBucketState",
            "InvalidRequest",
            "MethodNotAllowed",
            "NotImplemented",
            "UnsupportedOperation",
        ],
    ),
    (
        ErrorClass::Denied,
        &[
            "AccessDenied",
            "AccessForbidden",
            "AccountProblem",
            "AllAccessDisabled",
            "AuthFailure",
            "AuthorizationFailed",
            "CredentialsNotSupported",
            "ExpiredToken",
            "ExpiredTokenException",
            "Forbidden",
            "IncompleteSignature",
            "InvalidAccessKey",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidObjectState",
            "InvalidPayer",
            "InvalidSecurity",
            "InvalidSignatureException",
            "InvalidToken",
            "InvalidTokenId",
            "MissingAuthenticationToken",
            "MissingSecurityHeader",
            "NotSignedUp",
            "OptInRequired",
            "RequestNotAuthorized",
            "SignatureDoesNotMatch",
            "SignatureVersionNotSupported",
            "TokenRefreshRequired",
            "Unauthorized",
            "UnauthorizedAccess",
            "UnrecognizedClientException",
        ],
    ),
    (
        ErrorClass::Corrupt,
        &[
            "BadDigest",
            "ChecksumMismatch",
            "InvalidDigest",
            "XAmzContentChecksumMismatch",
            "XAmzContentSHA256Mismatch",
        ],
    ),
    (ErrorClass::NoBucket, &["NoSuchBucket"]),
    (ErrorClass::NotFound, &["NoSuchKey", "NoSuchObject", "NoSuchUpload", "NoSuchVersion", "NotFound"]),
    (
        ErrorClass::InvalidObject,
        &[
            "EntityTooLarge",
            "EntityTooSmall",
            "InvalidObjectName",
            "InvalidPart",
            "InvalidPartOrder",
            "InvalidURI",
            "KeyTooLong",
            "KeyTooLongError",
            "MaxMessageLengthExceeded",
            "MetadataTooLarge",
            "XMinioInvalidObjectName",
        ],
    ),
];

/// Codes that come in many spellings. `MinIO`'s own ones are about its disks, quotas and servers; those of a key
/// service are about how the bucket's encryption is set up.
const PREFIXES: [(ErrorClass, &[&str]); 2] = [
    (ErrorClass::Transient, &["Throttl", "SlowDown", "XMinio"]),
    (ErrorClass::Denied, &["KMS", "ServerSideEncryption"]),
];

impl ErrorClass {
    /// Returns the class of a code; `None` for an unknown one.
    pub fn of(code: &str) -> Option<Self> {
        // Exact codes first: `XMinioInvalidObjectName` must not match the prefix `XMinio`.
        let exact = CODES.iter().find(|(_, codes)| codes.contains(&code));
        let by_prefix =
            || PREFIXES.iter().find(|(_, prefixes)| prefixes.iter().any(|prefix| code.starts_with(prefix)));
        exact.or_else(by_prefix).map(|(class, _)| *class)
    }
}
