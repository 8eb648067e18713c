//! Digests that a client sends with a file: the field `sha256`, `Content-Digest` and `Repr-Digest`, `Upload-Checksum`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;

use super::structured_field::{self, Item, NotADictionary};
use super::tus_metadata::BASE64;
use crate::domain::{Error, ErrorCode};

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

/// Reason why `Content-Digest` or `Repr-Digest` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestFieldError {
    #[error("a digest field must be a dictionary like sha-256=:base64:")]
    Syntax(#[from] NotADictionary),
    #[error("sha-256 in a digest field must be 32 bytes in base64 between colons")]
    NotASha256,
}

impl From<DigestFieldError> for Error {
    fn from(error: DigestFieldError) -> Self {
        Self::new(ErrorCode::MalformedRequest, error.to_string())
    }
}

/// Parses the value of `Content-Digest` or `Repr-Digest` (RFC 9530); several fields are joined by commas before. `None` when it
/// has no SHA-256: other algorithms are not checked.
pub fn parse_digest_field(value: &str) -> Result<Option<Sha256Digest>, DigestFieldError> {
    let members = structured_field::parse_dictionary(value)?;
    let Some((_, item)) = members.into_iter().find(|(key, _)| key == "sha-256") else { return Ok(None) };
    let Item::Bytes(bytes) = item else { return Err(DigestFieldError::NotASha256) };
    let bytes = bytes.try_into().map_err(|_| DigestFieldError::NotASha256)?;
    Ok(Some(Sha256Digest(bytes)))
}

/// Checksum of the bytes of one request of tus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadChecksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// Value of `Tus-Checksum-Algorithm`: the algorithms of [`UploadChecksum`].
pub const CHECKSUM_ALGORITHMS: &str = "sha1,sha256";

/// Reason why `Upload-Checksum` can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    #[error("Upload-Checksum must be the name of an algorithm, a space, and the checksum in base64")]
    Syntax,
    #[error("the algorithm of Upload-Checksum must be one of: {CHECKSUM_ALGORITHMS}")]
    Algorithm,
    #[error("the checksum of Upload-Checksum does not have the length of its algorithm")]
    Length,
}

impl From<ChecksumError> for Error {
    fn from(error: ChecksumError) -> Self {
        Self::new(ErrorCode::MalformedRequest, error.to_string())
    }
}

impl FromStr for UploadChecksum {
    type Err = ChecksumError;

    /// Parses the value of `Upload-Checksum`.
    fn from_str(value: &str) -> Result<Self, ChecksumError> {
        let (algorithm, encoded) = value.trim().split_once(' ').ok_or(ChecksumError::Syntax)?;
        let bytes = BASE64.decode(encoded).map_err(|_| ChecksumError::Syntax)?;
        match algorithm.to_ascii_lowercase().as_str() {
            "sha1" => bytes.try_into().map(Self::Sha1).map_err(|_| ChecksumError::Length),
            "sha256" => bytes.try_into().map(Self::Sha256).map_err(|_| ChecksumError::Length),
            _ => Err(ChecksumError::Algorithm),
        }
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

    const SHA256_OF_HELLO: &str = ":LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

    #[test]
    fn a_digest_field_is_read_for_its_sha_256() {
        let hello: Sha256Digest =
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse().unwrap();
        let other = format!(":{}:", "A".repeat(43) + "=");
        for (value, digest) in [
            (format!("sha-256={SHA256_OF_HELLO}"), Some(hello)),
            (format!("  sha-256={SHA256_OF_HELLO}  "), Some(hello)),
            (format!("sha-512=:AAAA:,\tsha-256={SHA256_OF_HELLO} ,unixsum=7"), Some(hello)),
            (format!("sha-256={SHA256_OF_HELLO};q=0.5;x=\"a,b\""), Some(hello)),
            // The last one counts, as in every dictionary.
            (format!("sha-256={other}, sha-256={SHA256_OF_HELLO}"), Some(hello)),
            (format!("sha-256={}", SHA256_OF_HELLO.replace('=', "")), Some(hello)),
            ("sha-512=:AAAA:".to_owned(), None),
            ("adler=?1, crc32c=:/w==:, list=(a \"b\" 1.5);p, flag".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse_digest_field(&value), Ok(digest), "{value}");
        }
    }

    #[test]
    fn a_digest_field_that_can_not_be_read_is_refused() {
        for value in
            ["sha-256", "sha-256=1", "sha-256=abc", "sha-256=\"abc\"", "sha-256=::", "sha-256=:AAAA:"]
        {
            assert_eq!(parse_digest_field(value), Err(DigestFieldError::NotASha256), "{value}");
        }
        for value in [
            "sha-256=",
            "sha-256=:A:",
            "sha-256=:AA",
            "sha-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "SHA-256=:AAAA:",
            "sha-512=:AAAA:,",
            ",",
            "a b",
            "é=1",
        ] {
            assert_eq!(parse_digest_field(value), Err(DigestFieldError::Syntax(NotADictionary)), "{value}");
        }
    }

    #[test]
    fn a_checksum_has_an_algorithm_that_is_known() {
        let sha1 = *b"\xaa\xf4\xc6\x1d\xdc\xc5\xe8\xa2\xda\xbe\xde\x0f\x3b\x48\x2c\xd9\xae\xa9\x43\x4d";
        let sha256 = &SHA256_OF_HELLO[1..SHA256_OF_HELLO.len() - 1];
        assert_eq!("sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=".parse(), Ok(UploadChecksum::Sha1(sha1)));
        assert_eq!(" SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00 ".parse(), Ok(UploadChecksum::Sha1(sha1)));
        let parsed: UploadChecksum = format!("sha256 {sha256}").parse().unwrap();
        let UploadChecksum::Sha256(bytes) = parsed else { panic!("{parsed:?}") };
        assert_eq!(parse_digest_field(&format!("sha-256={SHA256_OF_HELLO}")), Ok(Some(Sha256Digest(bytes))));
        for (value, error) in [
            ("", ChecksumError::Syntax),
            ("sha1", ChecksumError::Syntax),
            ("sha1 ", ChecksumError::Syntax),
            ("sha1  qvTGHdzF6KLavt4PO0gs2a6pQ00=", ChecksumError::Syntax),
            ("sha1 aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d!", ChecksumError::Syntax),
            ("sha1 aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", ChecksumError::Length),
            ("sha256 qvTGHdzF6KLavt4PO0gs2a6pQ00=", ChecksumError::Length),
            ("md5 XUFAKrxLKna5cZ2REBfFkg==", ChecksumError::Algorithm),
            ("sha-256 AAAA", ChecksumError::Algorithm),
        ] {
            assert_eq!(value.parse::<UploadChecksum>(), Err(error), "{value}");
        }
    }

    #[test]
    fn a_client_is_told_that_its_request_is_malformed() {
        assert_eq!(Error::from(ChecksumError::Algorithm).code, ErrorCode::MalformedRequest);
        assert_eq!(Error::from(DigestFieldError::NotASha256).code, ErrorCode::MalformedRequest);
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(value in any::<String>(), near in r#"[a-c0-9 ,;=:()"\\?%@*.é-]{0,30}"#) {
            for value in [value, near] {
                let _ = parse_digest_field(&value);
                let _ = value.parse::<UploadChecksum>();
            }
        }

        #[test]
        fn a_digest_is_read_back(bytes: [u8; 32]) {
            let digest = Sha256Digest(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }
}
