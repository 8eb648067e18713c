//! Uploads: what a client says of a file while it sends it.

pub mod checksum;
pub mod digest;
pub mod fields;
mod structured_field;
pub mod tus_metadata;
pub mod type_rules;

pub use checksum::ChecksumVerifier;
pub use digest::{Sha256Digest, UploadChecksum};
pub use fields::{GivenFields, UploadField, UploadFields};
pub use tus_metadata::TusMetadata;
pub use type_rules::TypeRules;

/// Endings of the keys under which the store keeps bytes that are too few for a part, two by turns.
pub const TAIL_SUFFIXES: [&str; 2] = [".tail-0", ".tail-1"];
