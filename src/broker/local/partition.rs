//! Log of one partition: a row of records with consecutive offsets, and its bounds.

use std::collections::VecDeque;

use super::limits;
use crate::broker::Record;
use crate::domain::Timestamp;

/// Memory that a record takes besides its data.
const RECORD_OVERHEAD_BYTES: usize = size_of::<StoredRecord>();

/// Record with the time at which it was stored.
#[derive(Debug)]
pub struct StoredRecord {
    pub timestamp_ms: i64,
    pub record: Record,
}

/// Log of one partition.
#[derive(Debug, Default)]
pub struct Log {
    low: i64,
    high: i64,
    records: VecDeque<StoredRecord>,
    bytes: usize,
}

/// Returns the bytes of key, value and headers.
pub fn size(record: &Record) -> usize {
    let part = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    part(&record.key) + part(&record.value) + record.headers.size()
}

impl Log {
    /// Returns the oldest kept offset.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// Returns the next offset to be written.
    pub fn high(&self) -> i64 {
        self.high
    }

    /// Tells whether the record fits within the bounds of the log.
    pub fn has_capacity_for(&self, record: &Record) -> bool {
        self.bytes + size(record) + RECORD_OVERHEAD_BYTES <= limits::MAX_UNCONSUMED_BYTES
    }

    /// Appends a record; returns its offset.
    pub fn append(&mut self, record: Record) -> i64 {
        let offset = self.high;
        self.bytes += size(&record) + RECORD_OVERHEAD_BYTES;
        self.records.push_back(StoredRecord { timestamp_ms: Timestamp::now().epoch_millis(), record });
        self.high += 1;
        offset
    }

    /// Iterates over the records from `offset` on, or from the oldest kept one when that is gone.
    pub fn read(&self, offset: i64) -> impl Iterator<Item = (i64, &StoredRecord)> {
        let start = offset.clamp(self.low, self.high);
        let skip = usize::try_from(start - self.low).unwrap_or(0);
        (start..).zip(self.records.range(skip..))
    }

    /// Drops the records below the offset.
    pub fn drop_below(&mut self, offset: i64) {
        while self.low < offset && self.drop_oldest() {}
    }

    /// Drops the oldest records beyond what is kept of a topic that no group follows. The newest one stays, whatever
    /// its size.
    pub fn drop_excess(&mut self) {
        while self.records.len() > 1
            && (self.records.len() > limits::RETAINED_RECORDS || self.bytes > limits::RETAINED_BYTES)
            && self.drop_oldest()
        {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(StoredRecord { record, .. }) = self.records.pop_front() else {
            return false;
        };
        self.bytes -= size(&record) + RECORD_OVERHEAD_BYTES;
        self.low += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(bytes: usize) -> Record {
        Record { value: Some(Bytes::from(vec![0; bytes])), ..Record::default() }
    }

    fn offsets(log: &Log, from: i64) -> Vec<i64> {
        log.read(from).map(|(offset, _)| offset).collect()
    }

    #[test]
    fn reading_starts_at_the_offset_or_at_the_oldest_kept() {
        let mut log = Log::default();
        for _ in 0..5 {
            log.append(record(1));
        }
        log.drop_below(2);
        assert_eq!((log.low(), log.high()), (2, 5));
        assert_eq!(offsets(&log, 0), [2, 3, 4]);
        assert_eq!(offsets(&log, 4), [4]);
        assert_eq!(offsets(&log, 5), [0_i64; 0]);
        assert_eq!(offsets(&log, i64::MAX), [0_i64; 0]);
        log.drop_below(i64::MAX);
        assert_eq!((log.low(), log.high(), log.bytes), (5, 5, 0));
    }

    #[test]
    fn without_a_group_the_newest_records_and_bytes_are_kept() {
        let mut log = Log::default();
        for _ in 0..limits::RETAINED_RECORDS + 10 {
            log.append(record(1));
            log.drop_excess();
        }
        assert_eq!(log.low(), 10);
        for _ in 0..100 {
            log.append(record(1 << 20));
            log.drop_excess();
        }
        assert!(log.bytes <= limits::RETAINED_BYTES);
        assert_eq!(log.records.len(), 15);
    }

    #[test]
    fn there_is_capacity_until_the_bytes_are_too_many() {
        let mut log = Log::default();
        while log.has_capacity_for(&record(1 << 20)) {
            log.append(record(1 << 20));
        }
        assert_eq!(log.high(), 63);
        log.drop_below(1);
        assert!(log.has_capacity_for(&record(1 << 20)));
    }
}
