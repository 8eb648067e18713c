//! Comparison of the bytes of a request with its `Upload-Checksum`, while they arrive.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::UploadChecksum;

/// Checksum of the bytes so far, and the one that they should have.
#[derive(Debug, Clone)]
pub struct ChecksumVerifier {
    expected: UploadChecksum,
    hasher: Hasher,
}

#[derive(Debug, Clone)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl ChecksumVerifier {
    /// Begins without any bytes.
    pub fn new(expected: UploadChecksum) -> Self {
        let hasher = match expected {
            UploadChecksum::Sha1(_) => Hasher::Sha1(Sha1::default()),
            UploadChecksum::Sha256(_) => Hasher::Sha256(Sha256::default()),
        };
        Self { expected, hasher }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => sha1::Digest::update(hasher, bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Tells whether the bytes have the expected checksum.
    pub fn matches(self) -> bool {
        let found = match self.hasher {
            Hasher::Sha1(hasher) => UploadChecksum::Sha1(sha1::Digest::finalize(hasher).into()),
            Hasher::Sha256(hasher) => UploadChecksum::Sha256(hasher.finalize().into()),
        };
        found == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(checksum: &str, pieces: &[&[u8]]) -> bool {
        let mut verifier = ChecksumVerifier::new(checksum.parse().unwrap());
        for piece in pieces {
            verifier.update(piece);
        }
        verifier.matches()
    }

    #[test]
    fn bytes_match_their_checksum_and_no_other() {
        for checksum in
            ["sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="]
        {
            assert!(matches(checksum, &[b"hello"]));
            assert!(matches(checksum, &[b"he", b"", b"llo"]));
            assert!(!matches(checksum, &[b"hello\n"]));
            assert!(!matches(checksum, &[b"hell"]));
            assert!(!matches(checksum, &[]));
        }
        assert!(matches("sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", &[]));
    }
}
