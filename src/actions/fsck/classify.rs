//! The decisions of a verification, without I/O: what an object is to its row, which ids were seen, which are sampled.

use std::collections::{BTreeMap, BinaryHeap};

use crate::db::files::ObjectReference;
use crate::domain::{FileId, Status};
use crate::storage::object_keys;

/// Classification of an object by the row of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Classification {
    /// The object of a completed file.
    Named,
    /// Its file is unfinished: it may be named yet.
    InFlight,
    /// No row names it, and none will.
    Orphan { why: String, removable: bool },
}

/// `last` is the highest id that this database has given out.
pub(super) fn classify(
    bucket: &str,
    object: &str,
    claim: Option<&ObjectReference>,
    id: FileId,
    last: FileId,
) -> Classification {
    let orphan = |why: String, removable| Classification::Orphan { why, removable };
    let Some(claim) = claim else {
        // A bucket that knows more files than the database: that one is the wrong one, or an old backup.
        return if id > last {
            orphan("this database has never had a file with this id".to_owned(), false)
        } else {
            orphan("no file has this id".to_owned(), true)
        };
    };
    match claim.status {
        Status::Pending | Status::Uploading | Status::Processing => Classification::InFlight,
        Status::Failed | Status::Cancelled | Status::Deleted => {
            orphan(format!("the file is {}", claim.status.name()), true)
        }
        Status::Completed => match named_key(bucket, claim) {
            Some(named) if named == object => Classification::Named,
            Some(named) => orphan(format!("the file's object is {named}"), true),
            None => orphan("the file's object is not in this bucket".to_owned(), false),
        },
    }
}

/// The object that the row names; `None` if it isn't one of this file in this bucket.
pub(super) fn named_key<'a>(bucket: &str, claim: &'a ObjectReference) -> Option<&'a str> {
    claim.s3_location.as_deref().and_then(|location| object_keys::own_key(bucket, claim.id, location))
}

/// The ids that were seen: a bit for each, up to 64 MiB. Ids come from a sequence and lie close together, so that is
/// room for half a billion files; those that don't fit count as not seen, and are looked at once more.
#[derive(Default)]
pub(super) struct SeenIds(BTreeMap<i64, Box<[u64; WORDS]>>);

const WORDS: usize = 64;
const IDS_PER_BLOCK: i64 = 64 * 64;
const BLOCKS_MAX: usize = 64 * 1024 * 1024 / (WORDS * 8);

impl SeenIds {
    pub fn insert(&mut self, id: FileId) {
        let (block, word, bit) = place(id);
        if self.0.len() < BLOCKS_MAX || self.0.contains_key(&block) {
            self.0.entry(block).or_insert_with(|| Box::new([0; WORDS]))[word] |= bit;
        }
    }

    pub fn contains(&self, id: FileId) -> bool {
        let (block, word, bit) = place(id);
        self.0.get(&block).is_some_and(|words| words[word] & bit != 0)
    }
}

fn place(FileId(id): FileId) -> (i64, usize, u64) {
    let within = usize::try_from(id.rem_euclid(IDS_PER_BLOCK)).unwrap_or_default();
    (id.div_euclid(IDS_PER_BLOCK), within / 64, 1 << (within % 64))
}

/// A completed file whose bytes are to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample {
    pub id: FileId,
    pub key: String,
    pub sha256: String,
}

/// At most `SIZE` of all that are offered, each with the same chance. The same ones for the same seed, in whatever
/// order they come.
pub(super) struct Sampler {
    seed: u64,
    /// Samples with the lowest ranks.
    chosen: BinaryHeap<(u64, Sample)>,
}

impl Sampler {
    /// Number of sampled files. Of ten thousand files or more, of which one in a hundred is altered, it misses all with a
    /// chance of 1 : 20,000.
    pub const SIZE: usize = 1000;

    pub fn new(seed: u64) -> Self {
        Self { seed, chosen: BinaryHeap::new() }
    }

    pub fn offer(&mut self, sample: Sample) {
        self.chosen.push((rank(self.seed, sample.id), sample));
        if self.chosen.len() > Self::SIZE {
            self.chosen.pop();
        }
    }

    pub fn take(self) -> Vec<Sample> {
        self.chosen.into_iter().map(|(_, sample)| sample).collect()
    }
}

/// `SplitMix64`, of the id and the seed.
fn rank(seed: u64, id: FileId) -> u64 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mix(mix(seed).wrapping_add(id.0.cast_unsigned()).wrapping_add(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn claim(status: Status, location: Option<&str>) -> ObjectReference {
        ObjectReference {
            id: FileId(4),
            status,
            s3_location: location.map(str::to_owned),
            size: None,
            sha256: None,
        }
    }

    fn judged(claim: Option<&ObjectReference>, last: i64) -> Classification {
        classify("b-1", "files/4_x_1.txt", claim, FileId(4), FileId(last))
    }

    #[test]
    fn an_object_is_its_files_or_may_be_yet_or_is_an_orphan() {
        let named = claim(Status::Completed, Some("s3://b-1/files/4_x_1.txt"));
        assert_eq!(judged(Some(&named), 9), Classification::Named);
        for status in [Status::Pending, Status::Processing] {
            assert_eq!(judged(Some(&claim(status, None)), 9), Classification::InFlight);
        }
        let other = claim(Status::Completed, Some("s3://b-1/files/4_x_2.txt"));
        let elsewhere = claim(Status::Completed, Some("s3://b-2/files/4_x_1.txt"));
        let finished = [Status::Failed, Status::Cancelled, Status::Deleted].map(|status| claim(status, None));
        let orphans = finished.iter().map(|claim| (Some(claim), 9, true));
        for (claim, last, may_go) in orphans.chain([
            (Some(&other), 9, true),
            (Some(&elsewhere), 9, false),
            (None, 9, true),
            (None, 4, true),
            (None, 3, false),
        ]) {
            let standing = judged(claim, last);
            let Classification::Orphan { removable, .. } = standing else {
                panic!("{claim:?}: {standing:?}")
            };
            assert_eq!(removable, may_go, "{claim:?} {last}");
        }
    }

    proptest! {
        #[test]
        fn exactly_the_ids_that_were_met_are_known(
            seen in proptest::collection::btree_set(prop_oneof![1..10_000_i64, 1..i64::MAX], 0..50),
            asked in proptest::collection::vec(prop_oneof![1..10_000_i64, 1..i64::MAX], 0..50),
        ) {
            let mut index = SeenIds::default();
            for id in &seen {
                index.insert(FileId(*id));
            }
            for id in seen.iter().chain(&asked) {
                prop_assert_eq!(index.contains(FileId(*id)), seen.contains(id));
            }
        }
    }

    #[test]
    fn the_index_never_takes_more_than_its_bound_and_then_knows_less() {
        let mut index = SeenIds::default();
        let far = |number: usize| FileId(i64::try_from(number).unwrap() * IDS_PER_BLOCK);
        (0..=BLOCKS_MAX).for_each(|number| index.insert(far(number)));
        assert_eq!(index.0.len(), BLOCKS_MAX);
        assert!(index.contains(far(0)) && !index.contains(far(BLOCKS_MAX)));
        index.insert(FileId(1));
        assert!(index.contains(FileId(1)), "there is room where others of its block are");
    }

    fn sampled(seed: u64, ids: impl Iterator<Item = i64>) -> BTreeSet<i64> {
        let mut sampler = Sampler::new(seed);
        for id in ids {
            sampler.offer(Sample { id: FileId(id), key: String::new(), sha256: String::new() });
        }
        sampler.take().into_iter().map(|sample| sample.id.0).collect()
    }

    #[test]
    fn a_sample_depends_on_the_seed_alone_and_leaves_no_part_out() {
        let once = sampled(7, 1..=20_000);
        assert_eq!(once.len(), Sampler::SIZE);
        assert_eq!(sampled(7, (1..=20_000).rev()), once, "in another order");
        assert!(sampled(8, 1..=20_000).intersection(&once).count() < 200, "another seed");
        for tenth in 0..10 {
            let within = once.range(tenth * 2000 + 1..=(tenth + 1) * 2000).count();
            assert!((50..=150).contains(&within), "{within} of {tenth}");
        }
        assert_eq!(sampled(7, 1..=10), (1..=10).collect());
    }
}
