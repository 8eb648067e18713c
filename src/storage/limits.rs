//! Limits and time limits of the object store's client.

use std::time::Duration;

/// Time limit of a whole request that isn't a download. A request that is lost on its way costs no more than this.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Time added to it for each MiB that the request carries.
pub const REQUEST_TIMEOUT_PER_MIB: Duration = Duration::from_secs(1);
/// Time limit of completing a multipart upload, which a store may do by copying all parts.
pub const COMPLETE_TIMEOUT: Duration = Duration::from_mins(1);
/// Time added to it for each GiB of the object.
pub const COMPLETE_TIMEOUT_PER_GIB: Duration = Duration::from_secs(30);
/// Maximum number of further tries of a request whose bytes the caller holds.
pub(super) const MAX_RETRIES: usize = 3;
/// Pause before the first of them; it doubles.
pub(super) const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Maximum pause, if the store asks for one.
pub(super) const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Time after which no further try begins.
pub(super) const RETRY_WITHIN: Duration = Duration::from_secs(20);
/// Time limit until the headers of a download have come.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum silence between two pieces of a download.
pub const DOWNLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for which the signature of a request is valid: it only has to be sent within it.
pub(super) const SIGNATURE_TTL_SECS: u32 = 60;
/// Maximum time for which S3 takes a signature in a URL.
pub(super) const MAX_SIGNATURE_TTL_SECS: u32 = 7 * 24 * 3600;

/// Difference of two clocks that is ignored. It must stay below `SIGNATURE_TTL_SECS`.
pub(super) const CLOCK_TOLERANCE_SECS: u64 = 30;
/// Difference of two clocks above which the store's time is not believed.
pub(super) const MAX_CLOCK_SKEW_SECS: u64 = 100 * 365 * 24 * 3600;

/// Maximum bytes of a page of a listing: 1000 keys of 1024 bytes fit, even with each byte escaped.
pub const MAX_LISTING_BYTES: usize = 8 << 20;
/// Maximum bytes of an error document.
pub const MAX_ERROR_BYTES: usize = 64 << 10;
/// Maximum length of an error's text in logs.
pub(super) const MAX_ERROR_TEXT_CHARS: usize = 300;
/// Entries of a page of a listing; S3 returns no more at once.
pub(super) const LISTING_PAGE_SIZE: &str = "1000";
/// Maximum of consecutive empty pages in a listing. S3 may return a few where keys were deleted.
pub(super) const MAX_EMPTY_PAGES: u32 = 1000;

/// Maximum length of a title, a name or an owner in an object key.
pub(super) const MAX_SLUG_CHARS: usize = 80;
/// Maximum length of the extension in the key of an uploaded file.
pub(super) const MAX_EXTENSION_CHARS: usize = 16;
/// Maximum length of an object's location.
pub(super) const MAX_LOCATION_BYTES: usize = 500;
/// Bytes at the end of a verified download that are held back until the digest of all bytes is known. An object that is
/// not longer is delivered only after it was verified as a whole.
pub(super) const VERIFY_BUFFER_BYTES: usize = 1 << 20;
