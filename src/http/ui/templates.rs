//! Arguments of the templates: domain values, the time, and `urls`, which makes all links; `display` has the words.

use std::time::Duration;

use actix_web::http::header::EntityTag;
use askama::Template;
use serde::Serialize;

use super::forms::{
    CreateForm, DESCRIPTION_MAX_LENGTH, QUERY_MAX_LENGTH, TITLE_MAX_LENGTH, UPLOAD_DESCRIPTION_MAX_LENGTH,
    UploadForm,
};
use super::urls::Urls;
use super::{assets, display};
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::dead_letters::list::ANY_STATE;
use crate::domain::files::status::{Decision, Transition, evaluate};
use crate::domain::pagination::LIMIT_DEFAULT;
use crate::domain::{
    Cursor, DeadLetter, DeadLetterId, DeadLetterPage, DeadLetterPageRequest, DeadLetterState, File, FileId,
    FileType, HistoryEntry, Page, PageRequest, Stats, Status, Timestamp,
};
use crate::http::etag;

/// Time between two refreshes of a page, by its script and, without JavaScript, by reloading. The script waits longer while the
/// server doesn't answer.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Page `/`: the forms, the counts, the list.
#[derive(Template)]
#[template(path = "files/list.html")]
pub struct FilesPage<'a> {
    pub urls: Urls<'a>,
    pub fragment: FilesFragment<'a>,
    pub form: &'a CreateForm,
    pub upload: &'a UploadForm,
    pub notice: FileNotice,
    /// Number of open dead letters, shown in the navigation.
    pub open_dead_letters: i64,
}

/// Notice about what was just done to a file, shown on the page that the browser is redirected to.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileNotice {
    pub created: Option<FileId>,
    pub deleted: Option<FileId>,
    /// Number of files.
    pub uploaded: Option<usize>,
}

/// Part of `/` that is refreshed automatically.
#[derive(Template)]
#[template(path = "files/_list.html")]
pub struct FilesFragment<'a> {
    pub urls: Urls<'a>,
    pub request: &'a PageRequest,
    pub page: &'a Page,
    pub stats: &'a Stats,
    pub now: Timestamp,
    /// True if the page reloads itself without JavaScript. It has no form then: a reload would discard what was typed.
    pub refresh: bool,
}

/// Page `/ui/files/{id}`.
#[derive(Template)]
#[template(path = "files/get.html")]
pub struct FilePage<'a> {
    pub urls: Urls<'a>,
    pub fragment: FileFragment<'a>,
    pub refresh: bool,
}

/// Part of `/ui/files/{id}` that is refreshed automatically.
#[derive(Template)]
#[template(path = "files/_get.html")]
pub struct FileFragment<'a> {
    pub urls: Urls<'a>,
    pub file: &'a File,
    pub timeline: &'a [HistoryEntry],
    pub has_open_dead_letter: bool,
    pub now: Timestamp,
    /// Token for its buttons.
    pub csrf_token: &'a str,
}

/// Page `/ui/dead-letters`.
#[derive(Template)]
#[template(path = "dead_letters/list.html")]
pub struct DeadLettersPage<'a> {
    pub urls: Urls<'a>,
    pub request: &'a DeadLetterPageRequest,
    pub page: &'a DeadLetterPage,
    pub open_dead_letters: i64,
    pub now: Timestamp,
    /// Token for its buttons.
    pub csrf_token: &'a str,
    pub notice: DeadLetterNotice,
}

/// Notice about what was just done to a dead letter.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadLetterNotice {
    pub replayed: Option<DeadLetterId>,
    pub discarded: Option<DeadLetterId>,
}

/// Returns the statuses that have a tile, in the order of a file's life, with their counts.
fn tiles(stats: &Stats) -> [(Status, i64); 5] {
    [
        (Status::Pending, stats.pending),
        (Status::Uploading, stats.uploading),
        (Status::Processing, stats.processing),
        (Status::Completed, stats.completed),
        (Status::Failed, stats.failed),
    ]
}

/// Part of the bar above the tiles, in thousandths of its width.
#[derive(Debug, PartialEq, Eq)]
pub struct Share {
    pub status: Status,
    pub start: i64,
    pub width: i64,
}

/// Divides the bar among the statuses, without gaps. Returns no parts when nothing is counted.
fn shares(stats: &Stats) -> Vec<Share> {
    let total: i64 = tiles(stats).iter().map(|(_, count)| count).sum();
    let mut before = 0;
    let mut parts = Vec::new();
    for (status, count) in tiles(stats) {
        if count > 0 {
            let start = before * 1000 / total;
            before += count;
            let width = before * 1000 / total - start;
            parts.push(Share { status, start, width });
        }
    }
    parts
}

impl FilesFragment<'_> {
    /// Returns a tag that changes with the files and the counts. It is weak because ages in words differ under the same tag.
    pub fn etag(&self) -> EntityTag {
        let stats = Stats { oldest_unfinished_seconds: None, ..self.stats.clone() };
        let next = self.page.next.map(Cursor::encode);
        tag(&(&self.page.files, next, stats, self.urls.current(self.request, self.refresh)))
    }

    /// Returns the statuses that have a tile, with their counts.
    pub fn tiles(&self) -> [(Status, i64); 5] {
        tiles(self.stats)
    }

    /// Returns the parts of the bar above the tiles.
    pub fn shares(&self) -> Vec<Share> {
        shares(self.stats)
    }

    /// Returns the URL that the script polls.
    pub fn poll_url(&self) -> String {
        self.urls.list_fragment(self.request, self.refresh)
    }

    /// Tells whether the list is filtered.
    pub fn is_filtered(&self) -> bool {
        self.request.status.is_some() || self.request.query.is_some()
    }

    /// Returns the text that is searched for.
    pub fn query(&self) -> &str {
        self.request.query.as_deref().unwrap_or_default()
    }

    /// Returns when the oldest unfinished file was asked for.
    pub fn oldest_unfinished(&self) -> Option<Timestamp> {
        let age = Duration::try_from_secs_f64(self.stats.oldest_unfinished_seconds?).ok()?;
        let at = self.now.as_datetime().checked_sub_signed(chrono::Duration::from_std(age).ok()?)?;
        Some(Timestamp::from(at))
    }
}

impl DeadLettersPage<'_> {
    /// Tells whether the list is filtered to anything but the open dead letters.
    pub fn is_filtered(&self) -> bool {
        self.request.file_id.is_some() || self.request.state != Some(DeadLetterState::Open)
    }

    /// Returns the actions that the state allows, each with the label of its button.
    pub fn actions(dead_letter: &DeadLetter) -> &'static [(&'static str, &'static str)] {
        match dead_letter.state {
            DeadLetterState::Open => &[("replay", "Replay"), ("discard", "Discard")],
            DeadLetterState::Discarded => &[("replay", "Replay")],
            DeadLetterState::Replayed => &[],
        }
    }

    /// Tells whether only the beginning of the value is shown.
    pub fn is_truncated(dead_letter: &DeadLetter) -> bool {
        let shown = dead_letter.value.clone().map(Value::into_bytes).unwrap_or_default();
        i64::try_from(shown.len()).ok() < dead_letter.size
    }
}

impl FileFragment<'_> {
    /// Returns a tag that changes with the file, its history and its buttons.
    pub fn etag(&self) -> EntityTag {
        tag(&(self.urls, self.file, self.timeline, self.has_open_dead_letter))
    }

    /// Tells whether a person may make this transition now.
    pub fn allows(&self, by: Transition) -> bool {
        matches!(evaluate(self.file.state(), by, None), Decision::Apply(_))
    }

    /// Returns what is odd about the media type, for a file that is not what its client took it for.
    pub fn type_warning(&self) -> Option<&str> {
        self.file.attributes.metadata.get("type_warning")?.as_str()
    }

    /// Returns the URL that the script polls.
    pub fn poll_url(&self) -> String {
        self.urls.file_fragment(self.file.id)
    }
}

/// Makes the tag of a fragment with this content. Another build gives another tag, because its templates may differ.
fn tag(content: &impl Serialize) -> EntityTag {
    // Strings and numbers always serialise. If they didn't, all fragments would have one tag.
    let content =
        serde_json::to_vec(&(assets::style(), assets::script(), env!("CARGO_PKG_VERSION"), content));
    etag::weak(&content.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_bar_touch_and_fill_it() {
        let stats = Stats { pending: 1, completed: 1, failed: 1, ..Stats::default() };
        let parts = shares(&stats);
        let ends: Vec<_> = parts.iter().map(|part| (part.start, part.width)).collect();
        assert_eq!(ends, [(0, 333), (333, 333), (666, 334)]);
        assert_eq!(shares(&Stats::default()), []);
    }
}
