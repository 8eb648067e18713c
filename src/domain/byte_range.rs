//! The `Range` header of a download (RFC 9110 §14): one range of bytes, or the whole.

use super::{Error, ErrorCode, Result};

/// Range of bytes, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl ByteRange {
    /// Returns the number of bytes.
    pub const fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// `None` when the whole is to be sent: no bytes unit, several ranges, or not well-formed, all of which RFC 9110
    /// lets a server ignore. An error when no byte of it exists. Units are case-insensitive (§14.1), and empty elements of a
    /// list don't count (§5.6.1.2).
    pub fn parse(header: &str, size: u64) -> Result<Option<Self>> {
        let Some((unit, ranges)) = header.trim().split_once('=') else {
            return Ok(None);
        };
        let mut ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
        let (Some(range), None) = (ranges.next(), ranges.next()) else {
            return Ok(None);
        };
        let Some((first, last)) = range.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes")) else {
            return Ok(None);
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
            return Ok(None);
        }
        // Digits too many for a u64 lie behind any end.
        let number = |text: &str| text.parse().unwrap_or(u64::MAX);
        let range = if first.is_empty() {
            let length = number(last).min(size);
            Self { first: size - length, last: size.saturating_sub(1) }
        } else {
            let last = if last.is_empty() { u64::MAX } else { number(last) };
            if number(first) > last {
                return Ok(None);
            }
            Self { first: number(first), last: last.min(size.saturating_sub(1)) }
        };
        if range.first >= size {
            let detail = format!("the file has {size} bytes; no byte of the range exists");
            return Err(Error::new(ErrorCode::RangeNotSatisfiable, detail));
        }
        Ok(Some(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_cut_to_the_size() {
        let parse = |text| ByteRange::parse(text, 10).unwrap().map(|range| (range.first, range.last));
        assert_eq!(parse("bytes=0-3"), Some((0, 3)));
        assert_eq!(parse("bytes=7-"), Some((7, 9)));
        assert_eq!(parse("bytes=-4"), Some((6, 9)));
        assert_eq!(parse("bytes=-99"), Some((0, 9)));
        assert_eq!(parse("BYTES=0-4"), Some((0, 4)));
        assert_eq!(parse("bytes=,0-4, ,"), Some((0, 4)));
        assert_eq!(parse("bytes=2-99999999999999999999999"), Some((2, 9)));
    }

    #[test]
    fn what_is_not_a_single_range_means_the_whole() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
        ] {
            assert_eq!(ByteRange::parse(text, 10).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_range_behind_the_end_cannot_be_satisfied() {
        for (text, size) in [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-1", 0)] {
            assert!(ByteRange::parse(text, size).is_err(), "{text}");
        }
    }
}
