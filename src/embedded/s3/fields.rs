//! Fields that many requests and answers of S3 share, listed once.

/// Takes an object's headers out of a request.
macro_rules! headers_of {
    ($input:expr) => {
        $crate::embedded::s3::object::Headers {
            content_type: $input.content_type,
            content_encoding: $input.content_encoding,
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            user_metadata: $input.metadata,
        }
    };
}
pub(super) use headers_of;

/// Takes the digests that a request names out of it, or makes an answer with digests and fields of its own.
macro_rules! with_sums {
    ($output:ident { $($field:ident: $value:expr),* $(,)? }, $sums:expr) => {
        $output {
            $($field: $value,)*
            checksum_crc32: $sums.checksum_crc32,
            checksum_crc32c: $sums.checksum_crc32c,
            checksum_sha1: $sums.checksum_sha1,
            checksum_sha256: $sums.checksum_sha256,
            checksum_crc64nvme: $sums.checksum_crc64nvme,
            ..$output::default()
        }
    };
}
pub(super) use with_sums;

/// Makes an answer with an object's headers, digests and fields of its own.
macro_rules! described {
    ($output:ident { $($field:ident: $value:expr),* $(,)? }, $headers:expr, $sums:expr) => {
        $crate::embedded::s3::fields::with_sums!($output {
            $($field: $value,)*
            content_type: $headers.content_type,
            content_encoding: $headers.content_encoding,
            content_disposition: $headers.content_disposition,
            content_language: $headers.content_language,
            cache_control: $headers.cache_control,
            metadata: $headers.user_metadata,
        }, $sums)
    };
}
pub(super) use described;
