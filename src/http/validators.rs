//! Validators of an answer (RFC 9110 §8.8): the entity tag and the date that conditional requests are compared with.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{EntityTag, HttpDate, LastModified};

use crate::domain::Timestamp;

/// State of a resource that preconditions are compared with.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    pub tag: Option<EntityTag>,
    /// Time of the last change. `None`: conditions on dates are ignored.
    pub modified: Option<HttpDate>,
}

impl Validators {
    /// Makes validators without a date.
    pub fn tag_only(tag: EntityTag) -> Self {
        Self { tag: Some(tag), modified: None }
    }
}

/// Rounds the time of a change up to the next full second: no later change has the same date, so the date is as good as a
/// strong tag.
pub(super) fn http_date(at: Timestamp) -> HttpDate {
    let seconds = u64::try_from(at.epoch_millis()).unwrap_or_default().div_ceil(1000);
    HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Adds `Last-Modified`, once no further change can have the same date (RFC 9110 §8.8.2).
pub(super) fn insert_last_modified(response: &mut HttpResponseBuilder, modified: Timestamp) {
    let date = http_date(modified);
    if date <= http_date(Timestamp::now().minus(Duration::from_secs(1))) {
        response.insert_header(LastModified(date));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_dated_to_the_first_second_after_it() {
        for (at, date) in [
            ("2026-01-03T00:00:00.000Z", "Sat, 03 Jan 2026 00:00:00 GMT"),
            ("2026-01-03T00:00:00.001Z", "Sat, 03 Jan 2026 00:00:01 GMT"),
            ("2026-01-03T00:00:00.999Z", "Sat, 03 Jan 2026 00:00:01 GMT"),
        ] {
            let at: Timestamp = serde_json::from_str(&format!("\"{at}\"")).unwrap();
            assert_eq!(http_date(at).to_string(), date);
        }
    }
}
