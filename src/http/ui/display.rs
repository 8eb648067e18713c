//! Sizes, times, counts and labels as people read them. Pure: the time is an argument.

use crate::domain::{Attributes, DeadLetterState, File, FileType, HistoryEntry, Status, Timestamp};

/// Formats a size in decimal units with one decimal: `182 bytes`, `1.2 kB`, `12.3 MB`.
pub fn size(bytes: i64) -> String {
    const STEP: i64 = 1000;
    if bytes < STEP {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    }
    let mut unit = STEP;
    for name in ["kB", "MB", "GB"] {
        // Rounded to tenths before the unit is chosen, so 999,950 bytes are 1.0 MB and never 1000.0 kB.
        let tenths = rounded_tenths(bytes, unit);
        if tenths < STEP * 10 {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= STEP;
    }
    let tenths = rounded_tenths(bytes, unit);
    format!("{}.{} TB", tenths / 10, tenths % 10)
}

fn rounded_tenths(bytes: i64, unit: i64) -> i64 {
    bytes.saturating_add(unit / 20) / (unit / 10)
}

/// Formats a number with commas between thousands.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a time as `3 Jan 2026, 00:00:05 UTC`.
pub fn absolute(at: Timestamp) -> String {
    at.as_datetime().format("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// Formats a time as `3 Jan 2026, 00:00 UTC`.
pub fn to_the_minute(at: Timestamp) -> String {
    at.as_datetime().format("%-d %b %Y, %H:%M UTC").to_string()
}

/// Formats an age as `just now`, `1 minute ago` or `3 days ago`. A time in the future is `just now`: the database's clock may
/// be ahead of this machine's. `assets/app.js` uses the same words.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = (now.epoch_millis() - at.epoch_millis()) / 1000;
    if seconds < 5 {
        return "just now".to_owned();
    }
    let fits = |(length, _): &(i64, &str)| seconds >= *length;
    let (length, name) = UNITS.into_iter().find(fits).unwrap_or((1, "second"));
    let number = seconds / length;
    format!("{number} {name}{} ago", if number == 1 { "" } else { "s" })
}

/// Formats a duration as `87 ms`, `1.4 s` or `2 min 5 s`.
pub fn duration(milliseconds: i64) -> String {
    match milliseconds {
        ..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// Describes a transition for the timeline.
pub fn transition(line: &HistoryEntry) -> &'static str {
    match (line.from, line.to) {
        (_, Status::Uploading) => "Upload started",
        (None, Status::Pending) => "Asked for",
        (Some(_), Status::Pending) => "Asked for again",
        (Some(Status::Processing), Status::Processing) => "Handed to another worker",
        (_, Status::Processing) => "Work started",
        (_, Status::Completed) => "Stored and ready",
        (_, Status::Failed) => "Given up",
        (_, Status::Cancelled) => "Cancelled",
        (_, Status::Deleted) => "Deleted",
    }
}

/// Returns the label of a status.
pub const fn label(status: Status) -> &'static str {
    match status {
        Status::Pending => "Pending",
        Status::Uploading => "Uploading",
        Status::Processing => "Processing",
        Status::Completed => "Completed",
        Status::Failed => "Failed",
        Status::Cancelled => "Cancelled",
        Status::Deleted => "Deleted",
    }
}

/// Returns the label of a kind of files.
pub const fn file_type(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Image => "Image",
        FileType::Video => "Video",
        FileType::Audio => "Audio",
        FileType::Document => "Document",
        FileType::Archive => "Archive",
        FileType::Text => "Text",
        FileType::Other => "Other",
    }
}

/// Returns the owner's name, or its id where it has none.
pub fn owner(file: &File) -> Option<&str> {
    let Attributes { uploaded_by, uploaded_by_name, .. } = &file.attributes;
    uploaded_by_name.as_deref().or(uploaded_by.as_deref())
}

/// Returns the name of an upload that its title doesn't show.
pub fn name_beside_title(file: &File) -> Option<String> {
    let name = file.is_upload().then(|| file.shown_name().to_string());
    name.filter(|name| *name != file.title)
}

/// Returns the label of a dead letter's state.
pub const fn dead_letter_label(state: DeadLetterState) -> &'static str {
    match state {
        DeadLetterState::Open => "Open",
        DeadLetterState::Replayed => "Replayed",
        DeadLetterState::Discarded => "Discarded",
    }
}

/// Returns the beginning of a text on one line, with collapsed white space, at most 140 characters long.
pub fn snippet(text: &str) -> String {
    const MAX_CHARS: usize = 140;
    // A description may have 64 KiB, and a page two hundred of them: only the beginning of each is read.
    let head: String = text.chars().take(MAX_CHARS * 3).collect();
    let line = head.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(MAX_CHARS).collect();
    if short.len() < line.len() || head.len() < text.len() {
        short.push('…');
    }
    short
}

/// Turns the detail of a domain error into a sentence.
pub fn sentence(detail: &str) -> String {
    let mut rest = detail.chars();
    let first = rest.next().map(|c| c.to_uppercase().collect::<String>());
    let stop = if detail.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{}{}{stop}", first.unwrap_or_default(), rest.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Attempt;

    #[test]
    fn sizes_have_one_decimal_and_never_a_thousand_of_a_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1234, "1.2 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert!(size(i64::MAX).ends_with(" TB"));
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-12_345_678, "-12,345,678")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn ages_are_given_in_the_largest_unit_that_fits() {
        let then: Timestamp = serde_json::from_str("\"2026-01-03T00:00:00Z\"").unwrap();
        for (seconds, text) in [
            (0, "just now"),
            (4, "just now"),
            (5, "5 seconds ago"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (86_400 * 29, "29 days ago"),
            (86_400 * 31, "1 month ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(ago(then, then.plus(Duration::from_secs(seconds))), text);
        }
        assert_eq!(ago(then.plus(Duration::from_hours(1)), then), "just now");
        assert_eq!(absolute(then), "3 Jan 2026, 00:00:00 UTC");
        assert_eq!(to_the_minute(then), "3 Jan 2026, 00:00 UTC");
    }

    #[test]
    fn durations_keep_what_matters() {
        assert_eq!(duration(87), "87 ms");
        assert_eq!(duration(1_449), "1.4 s");
        assert_eq!(duration(125_000), "2 min 5 s");
    }

    #[test]
    fn a_file_that_was_republished_is_shown_as_handed_to_another_worker() {
        let line = HistoryEntry {
            at: Timestamp::now(),
            from: Some(Status::Processing),
            to: Status::Processing,
            attempt: Attempt(2),
            worker: None,
            partition: None,
            offset: None,
            duration_ms: None,
            error: None,
        };
        assert_eq!(transition(&line), "Handed to another worker");
        let first = HistoryEntry { from: None, to: Status::Pending, ..line };
        assert_eq!(transition(&first), "Asked for");
    }

    #[test]
    fn a_snippet_is_one_line_and_says_when_it_was_cut() {
        assert_eq!(snippet("a\n\n b\tc "), "a b c");
        let long = "é".repeat(64 * 1024);
        assert_eq!(snippet(&long), format!("{}…", "é".repeat(140)));
        assert_eq!(snippet(&" ".repeat(5000)), "…");
    }

    #[test]
    fn an_error_detail_becomes_a_sentence() {
        assert_eq!(sentence("title is required"), "Title is required.");
        assert_eq!(sentence("Done!"), "Done!");
        assert_eq!(sentence(""), ".");
    }
}
