//! Partition of a record, by the rule of Kafka's own clients, so that all producers agree on the partition of a key.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the partition of a key: its murmur2 hash modulo the number of partitions. Without a key it is the next in
/// turn.
pub fn partition_for(key: Option<&[u8]>, round_robin: &AtomicUsize, partitions: i32) -> i32 {
    let count = partitions.max(1).cast_unsigned();
    let number = key.map_or_else(
        || {
            let turn = round_robin.fetch_add(1, Ordering::Relaxed);
            u32::try_from(turn % usize::try_from(count).unwrap_or(1)).unwrap_or(0)
        },
        // Java's "to positive" clears the sign, it does not negate.
        |key| murmur2(key) & 0x7fff_ffff,
    );
    (number % count).cast_signed()
}

/// Hashes like `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;

    // Java hashes the length as an int; keys of 4 GiB don't exist.
    let mut hash = SEED ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_what_kafkas_own_test_expects() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign() {
        let turn = AtomicUsize::new(0);
        for (key, partition) in [("21", 0), ("foobar", 0), ("a-little-bit-longer-string", 2)] {
            assert_eq!(partition_for(Some(key.as_bytes()), &turn, 3), partition, "{key}");
        }
    }

    #[test]
    fn a_key_always_goes_to_the_same_partition() {
        let turn = AtomicUsize::new(0);
        for key in [&b""[..], b"1", b"42", b"foobar"] {
            let first = partition_for(Some(key), &turn, 3);
            assert!((0..3).contains(&first));
            assert_eq!(partition_for(Some(key), &turn, 3), first);
        }
        assert_eq!(turn.into_inner(), 0, "keys take no turn");
    }

    #[test]
    fn records_without_a_key_take_turns() {
        let turn = AtomicUsize::new(usize::MAX);
        let places: Vec<i32> = (0..7).map(|_| partition_for(None, &turn, 3)).collect();
        assert_eq!(places[1..], [0, 1, 2, 0, 1, 2], "also past the counter's end");
    }
}
