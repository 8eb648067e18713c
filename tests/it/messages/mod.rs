//! Values of records, compared with their schemas.

mod compat_topic;
mod schemas;
