//! Proofs that a result comes from a program that has the store's credentials.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Storage, hex};

/// Key of proofs. It is derived from the secret access key, which itself signs nothing but requests to the store.
#[derive(Clone)]
pub(super) struct ProofKey(Hmac<Sha256>);

/// Separates this key from others that may be derived from the same secret.
const PURPOSE: &[u8] = b"filesys: results of workers, version 1";

impl ProofKey {
    /// Derives the key from the secret that all roles share.
    pub fn new(secret: &SecretString) -> Self {
        let derived = keyed(secret.expose_secret().as_bytes()).chain_update(PURPOSE).finalize().into_bytes();
        Self(keyed(&derived))
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of any length will do"))
}

impl Storage {
    /// Computes the proof of these parts. Each is hashed with its length, so that no two different lists have the same
    /// proof.
    pub fn proof(&self, parts: &[&str]) -> String {
        let mut mac = self.proof_key.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes())
    }

    /// Tells whether the proof was made with these credentials. The comparison takes constant time.
    pub fn is_proven(&self, parts: &[&str], proof: &str) -> bool {
        self.proof(parts).as_bytes().ct_eq(proof.as_bytes()).into()
    }
}
