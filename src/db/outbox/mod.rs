//! Table `outbox`: messages that commit together with the change they announce, and their way to the relay.

pub(super) mod listen;
pub(super) mod local_handoff;
pub(super) mod message;
pub(super) mod relay;

use super::Db;

pub use local_handoff::{Priority, Publisher};
pub use message::{OutboxMessage, OutboxRow};
pub use relay::{PublishOutcome, RelayBatch, RowHandle, StuckRecord};

/// Statements about the outbox.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    pub(super) db: &'a Db,
}
