//! Digests that a client sends with a file: the field `sha256`, `Content-Digest` and `Repr-Digest`, `Upload-Checksum`.

use std::fmt;
use std::str::FromStr;

/// SHA-256 digest. Its text form is lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

/// Reason why a text is not a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest has 64 hexadecimal digits")]
pub struct NotASha256;

impl FromStr for Sha256Digest {
    type Err = NotASha256;

    /// Parses 64 hexadecimal digits of any case.
    fn from_str(text: &str) -> Result<Self, NotASha256> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NotASha256)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_has_64_digits_of_any_case() {
        for text in [EMPTY.to_owned(), EMPTY.to_uppercase()] {
            assert_eq!(text.parse::<Sha256Digest>().unwrap().to_string(), EMPTY);
        }
        let (short, long) = (&EMPTY[1..], format!("{EMPTY}0"));
        let (strange, wide) = (EMPTY.replace('e', "g"), EMPTY.replace('3', "３"));
        for text in ["", short, &long, &strange, &wide, &format!("0x{}", &EMPTY[2..]), &format!(" {short}")] {
            assert_eq!(text.parse::<Sha256Digest>(), Err(NotASha256), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_digest_is_read_back(bytes: [u8; 32]) {
            let digest = Sha256Digest(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }
}
