//! The roles as separate processes on real services, where one is named.

mod kafka;
mod tls;
