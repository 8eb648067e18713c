//! The client of the object store, on a real S3 server.

mod presigned;
mod uploads;
