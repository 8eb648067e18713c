//! Time limits of everything that waits for PostgreSQL.

use std::time::Duration;

/// Time limit of opening a connection.
pub const CONNECT: Duration = Duration::from_secs(5);
/// Time that one of several servers has to take a connection.
pub const CONNECT_ONE: Duration = Duration::from_secs(2);
/// A connection without a word for so long is asked for a sign of life, by the system and, before it is used, by us.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(3);
/// Interval of keepalive probes that are not answered.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// Unanswered keepalive probes after which a connection is broken.
pub const KEEPALIVE_COUNT: u32 = 3;
/// Time that the peer's system has to confirm what was sent: it does so at once, however long a statement takes.
pub const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle time after which a pooled connection is asked before it is used.
pub const ASK_AFTER: Duration = Duration::from_secs(1);
/// Time that such a connection has to answer.
pub const ASK: Duration = Duration::from_secs(1);
/// Time to wait for a connection of the pool; past it the request is refused, not queued.
pub const POOL_WAIT: Duration = Duration::from_secs(5);
/// The server gives up on a statement after this.
pub const STATEMENT_MILLIS: u32 = 10_000;
/// Limit like `STATEMENT_MILLIS`, for a search.
pub const SEARCH_MILLIS: u32 = 3_000;
/// Time that the searches before have to end.
pub const SEARCH_WAIT: Duration = Duration::from_secs(3);
/// The server ends a session whose transaction waits for us for this long: longer than `RELAY`.
pub const IDLE_MILLIS: u32 = 30_000;
/// We give up on one piece of work (a statement or a transaction) after this, and on its connection.
pub const WORK: Duration = Duration::from_secs(15);
/// Limit like `WORK`, for a round of the relay, which publishes meanwhile: longer than a publish may take, so that one
/// that comes through is not forgotten.
pub const RELAY: Duration = Duration::from_secs(25);
/// Time after the end of a lock within which the last request of its holder may still reach the store.
pub const UPLOAD_WRITER_GRACE: Duration = Duration::from_secs(30);
