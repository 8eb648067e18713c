//! `Upload-Metadata` of tus: pairs of a key and a text in base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::domain::{Error, ErrorCode};

/// Maximum length of the whole value, in bytes.
pub const METADATA_MAX_BYTES: usize = 32 << 10;
/// Maximum number of pairs.
pub const METADATA_MAX_PAIRS: usize = 64;

/// Base64 of texts from any client: some leave out the padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Texts by their keys. A key without a value has an empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TusMetadata(BTreeMap<String, String>);

/// Reason why a value can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("Upload-Metadata has {0} bytes; at most {METADATA_MAX_BYTES} are allowed")]
    TooLong(usize),
    #[error("Upload-Metadata has more than {METADATA_MAX_PAIRS} pairs")]
    TooManyPairs,
    #[error("pair {0} of Upload-Metadata has no key")]
    NoKey(usize),
    #[error("the key of pair {0} of Upload-Metadata must be visible ASCII without commas")]
    InvalidKey(usize),
    #[error("pair {0} of Upload-Metadata has a key that came before")]
    RepeatedKey(usize),
    #[error("the value of pair {0} of Upload-Metadata must be base64, one space behind its key")]
    NotBase64(usize),
    #[error("the value of pair {0} of Upload-Metadata is not UTF-8")]
    NotUtf8(usize),
}

impl From<MetadataError> for Error {
    fn from(error: MetadataError) -> Self {
        Self::new(ErrorCode::MalformedRequest, error.to_string())
    }
}

impl TusMetadata {
    /// Parses the value of the field. Several fields are joined by commas before. An empty value has no pairs.
    pub fn parse(value: &str) -> Result<Self, MetadataError> {
        if value.len() > METADATA_MAX_BYTES {
            return Err(MetadataError::TooLong(value.len()));
        }
        let mut texts = BTreeMap::new();
        if value.trim_matches(WHITE_SPACE).is_empty() {
            return Ok(Self(texts));
        }
        for (index, pair) in value.split(',').enumerate() {
            let number = index + 1;
            if number > METADATA_MAX_PAIRS {
                return Err(MetadataError::TooManyPairs);
            }
            let (key, text) = parse_pair(pair.trim_matches(WHITE_SPACE), number)?;
            if texts.insert(key.to_owned(), text).is_some() {
                return Err(MetadataError::RepeatedKey(number));
            }
        }
        Ok(Self(texts))
    }

    /// Returns the text of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns all pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, text)| (key.as_str(), text.as_str()))
    }
}

/// Optional white space around the members of a list (RFC 9110 §5.6.3).
const WHITE_SPACE: [char; 2] = [' ', '\t'];

fn parse_pair(pair: &str, number: usize) -> Result<(&str, String), MetadataError> {
    let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
    if key.is_empty() {
        return Err(MetadataError::NoKey(number));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(MetadataError::InvalidKey(number));
    }
    let bytes = BASE64.decode(encoded).map_err(|_| MetadataError::NotBase64(number))?;
    let text = String::from_utf8(bytes).map_err(|_| MetadataError::NotUtf8(number))?;
    Ok((key, text))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_read_as_clients_write_them() {
        for (value, pairs) in [
            ("", vec![]),
            (" ", vec![]),
            ("filename d29ybGQ=", vec![("filename", "world")]),
            ("filename d29ybGQ", vec![("filename", "world")]),
            ("filename d29ybGQ=,is_confidential", vec![("filename", "world"), ("is_confidential", "")]),
            ("a YQ== , b\t,\tc ", vec![("a", "a"), ("b", ""), ("c", "")]),
            ("a ", vec![("a", "")]),
            ("n w6k=", vec![("n", "é")]),
            ("A YQ==,a Yg==", vec![("A", "a"), ("a", "b")]),
        ] {
            let metadata = TusMetadata::parse(value).unwrap();
            assert_eq!(metadata.iter().collect::<Vec<_>>(), pairs, "{value:?}");
        }
        assert_eq!(TusMetadata::parse("a YQ==").unwrap().get("a"), Some("a"));
        assert_eq!(TusMetadata::parse("a YQ==").unwrap().get("b"), None);
    }

    #[test]
    fn what_can_not_be_read_is_named_by_its_number() {
        use MetadataError::{InvalidKey, NoKey, NotBase64, NotUtf8, RepeatedKey, TooLong, TooManyPairs};
        for (value, error) in [
            (",", NoKey(1)),
            ("a YQ==,", NoKey(2)),
            ("a,,b", NoKey(2)),
            ("é YQ==", InvalidKey(1)),
            ("a\tYQ==", InvalidKey(1)),
            ("a\u{7f} YQ==", InvalidKey(1)),
            ("a YQ==,a Yg==", RepeatedKey(2)),
            ("a,b,a", RepeatedKey(3)),
            ("a  YQ==", NotBase64(1)),
            ("a YQ== YQ==", NotBase64(1)),
            ("a world.txt", NotBase64(1)),
            ("a YQ-_", NotBase64(1)),
            ("a YR==", NotBase64(1)),
            ("a Y", NotBase64(1)),
            ("a /w==", NotUtf8(1)),
        ] {
            assert_eq!(TusMetadata::parse(value), Err(error), "{value:?}");
        }
        let long = "a".repeat(METADATA_MAX_BYTES);
        assert!(TusMetadata::parse(&long).is_ok());
        assert_eq!(TusMetadata::parse(&format!("{long}a")), Err(TooLong(METADATA_MAX_BYTES + 1)));
        let keys = |count: usize| (0..count).map(|key| format!("k{key}")).collect::<Vec<_>>().join(",");
        assert!(TusMetadata::parse(&keys(METADATA_MAX_PAIRS)).is_ok());
        assert_eq!(TusMetadata::parse(&keys(METADATA_MAX_PAIRS + 1)), Err(TooManyPairs));
    }

    #[test]
    fn a_client_is_told_that_its_request_is_malformed() {
        let error = Error::from(MetadataError::NotBase64(2));
        assert_eq!(error.code, ErrorCode::MalformedRequest);
        assert!(error.detail.contains("pair 2"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(texts in proptest::collection::btree_map("[!-+\\--~]{1,20}", any::<String>(), 0..20)) {
            let pairs: Vec<String> =
                texts.iter().map(|(key, text)| format!("{key} {}", BASE64_STANDARD.encode(text))).collect();
            prop_assert_eq!(TusMetadata::parse(&pairs.join(",")), Ok(TusMetadata(texts)));
        }

        #[test]
        fn no_value_makes_it_panic(value in any::<String>()) {
            let _ = TusMetadata::parse(&value);
        }
    }
}
