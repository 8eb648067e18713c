//! S3 error codes, of Amazon's and of other servers, and what each means for a request.

/// What to make of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same request may succeed later; a full store is an outage, too.
    Passes,
    /// The bucket is in another region or at another address.
    Elsewhere,
    /// The server speaks S3, but not what is needed, or not for this bucket.
    Unsuitable,
    /// Credentials or rights.
    Denied,
    /// The bytes arrived altered.
    Corrupt,
    NoBucket,
    NotFound,
    /// This object can't be stored, whatever number comes with it.
    OfThisObject,
}

const CODES: [(Meaning, &[&str]); 8] = [
    (
        Meaning::Passes,
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
        Meaning::Elsewhere,
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
        Meaning::Unsuitable,
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
        Meaning::Denied,
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
        Meaning::Corrupt,
        &[
            "BadDigest",
            "ChecksumMismatch",
            "InvalidDigest",
            "XAmzContentChecksumMismatch",
            "XAmzContentSHA256Mismatch",
        ],
    ),
    (Meaning::NoBucket, &["NoSuchBucket"]),
    (Meaning::NotFound, &["NoSuchKey", "NoSuchObject", "NoSuchUpload", "NoSuchVersion", "NotFound"]),
    (
        Meaning::OfThisObject,
        &[
            "EntityTooLarge",
            "EntityTooSmall",
            "InvalidObjectName",
            "InvalidURI",
            "KeyTooLong",
            "KeyTooLongError",
            "MaxMessageLengthExceeded",
            "MetadataTooLarge",
            "XMinioInvalidObjectName",
        ],
    ),
];

/// Codes that come in many spellings; `MinIO`'s own ones are of its disks, quotas and servers, and a key service's of how
/// the bucket's encryption is set up.
const PREFIXES: [(Meaning, &[&str]); 2] = [
    (Meaning::Passes, &["Throttl", "SlowDown", "XMinio"]),
    (Meaning::Denied, &["KMS", "ServerSideEncryption"]),
];

impl Meaning {
    /// `None`: nobody told us of this code.
    pub fn of(code: &str) -> Option<Self> {
        let exact = CODES.iter().find(|(_, codes)| codes.contains(&code));
        let by_prefix =
            || PREFIXES.iter().find(|(_, prefixes)| prefixes.iter().any(|prefix| code.starts_with(prefix)));
        exact.or_else(by_prefix).map(|(meaning, _)| *meaning)
    }
}
