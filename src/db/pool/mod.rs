//! Sessions with PostgreSQL: how they are opened, encrypted, pooled and watched.

mod certificate;
pub(super) mod changes;
pub(super) mod connection;
pub(super) mod sessions;
mod transport;
pub(super) mod writable;

pub use connection::BY_INDEX;
