//! SHA-256 of bytes that arrive in several requests: its state can be stored in between.

use sha2_state::digest::common::hazmat::{SerializableState, SerializedState};
use sha2_state::{Digest, Sha256};

use super::{Stored, hex};

/// SHA-256 of the bytes so far, and their number.
#[derive(Debug, Clone, Default)]
pub struct RunningDigest {
    sha256: Sha256,
    size: u64,
}

impl RunningDigest {
    /// Goes on from a stored state; `None` when it isn't one.
    pub fn resume(state: &[u8], size: u64) -> Option<Self> {
        let state = SerializedState::<Sha256>::try_from(state).ok()?;
        Some(Self { sha256: Sha256::deserialize(&state).ok()?, size })
    }

    /// Returns the state, to go on from in another process.
    pub fn state(&self) -> Vec<u8> {
        self.sha256.serialize().to_vec()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Returns the number of bytes so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the digest of the bytes so far.
    pub fn digest(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }

    /// Returns what a store that holds these bytes must confirm.
    pub fn stored(&self) -> Stored {
        Stored { size: i64::try_from(self.size).unwrap_or(i64::MAX), sha256: hex(&self.digest()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_digest_that_was_stored_in_between_is_that_of_all_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut digest = RunningDigest::default();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            for cut in cuts {
                digest.update(&bytes[from..cut]);
                digest = RunningDigest::resume(&digest.state(), digest.size()).unwrap();
                from = cut;
            }
            prop_assert_eq!(digest.stored(), Stored::of(&bytes));
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for state in [&b""[..], b"x", &[0; 1000]] {
            assert!(RunningDigest::resume(state, 0).is_none());
        }
    }
}
