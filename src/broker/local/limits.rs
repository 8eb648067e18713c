//! Memory limits of the local broker.

/// Maximum sum of a record's key, value and headers in bytes: a little less than Kafka's default, so what is accepted
/// here is accepted there.
pub const MAX_RECORD_BYTES: usize = 1_000_000;
/// Maximum bytes that a partition keeps of records that a group still needs. Beyond it publishing is refused.
pub const MAX_UNCONSUMED_BYTES: usize = 64 << 20;
/// Newest records that are kept of a partition that no group follows.
pub const RETAINED_RECORDS: usize = 10_000;
/// Bytes that are kept of a partition that no group follows.
pub const RETAINED_BYTES: usize = 16 << 20;
