//! Uploads: what a client says of a file while it sends it.

pub mod digest;
pub mod fields;
pub mod tus_metadata;

pub use digest::Sha256Digest;
pub use fields::{GivenFields, UploadField, UploadFields};
pub use tus_metadata::TusMetadata;
