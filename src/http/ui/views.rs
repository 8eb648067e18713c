//! What each template is given: domain values, `now`, and `links`, which makes every address; `human` has the words.

use actix_web::http::header::EntityTag;
use askama::Template;
use serde::Serialize;

use super::form::CreateForm;
use super::{assets, human};
use crate::domain::dead_letter::{ANY_STATE, Value};
use crate::domain::page::LIMIT_DEFAULT;
use crate::domain::status::{Move, next};
use crate::domain::{
    Cursor, DeadLetter, File, FileId, LetterId, LetterPage, LetterPageRequest, LetterState, Page,
    PageRequest, Stats, Status, Timestamp, Transition,
};
use crate::http::etag;
use crate::http::links::Links;

/// `/`: the form, the counts, the list.
#[derive(Template)]
#[template(path = "files/list.html")]
pub struct FilesPage<'a> {
    pub links: Links<'a>,
    pub live: FilesFragment<'a>,
    pub form: &'a CreateForm,
    pub notice: Notice,
    /// Dead letters that wait for somebody.
    pub open_letters: i64,
}

/// Shown once, after the redirect that follows what was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notice {
    pub created: Option<FileId>,
    pub deleted: Option<FileId>,
}

/// The part of `/` that changes by itself.
#[derive(Template)]
#[template(path = "files/_list.html")]
pub struct FilesFragment<'a> {
    pub links: Links<'a>,
    pub request: &'a PageRequest,
    pub page: &'a Page,
    pub stats: &'a Stats,
    pub now: Timestamp,
    /// The page reloads itself without JavaScript, and therefore has no form.
    pub refresh: bool,
}

/// `/ui/files/{id}`.
#[derive(Template)]
#[template(path = "files/show.html")]
pub struct FilePage<'a> {
    pub links: Links<'a>,
    pub live: FileFragment<'a>,
    pub refresh: bool,
}

/// The part of `/ui/files/{id}` that changes by itself.
#[derive(Template)]
#[template(path = "files/_show.html")]
pub struct FileFragment<'a> {
    pub links: Links<'a>,
    pub file: &'a File,
    pub timeline: &'a [Transition],
    /// An open dead letter speaks of it.
    pub is_put_aside: bool,
    pub now: Timestamp,
    /// Token for its buttons.
    pub csrf_token: &'a str,
}

/// `/ui/dead-letters`.
#[derive(Template)]
#[template(path = "dead_letters/list.html")]
pub struct LettersPage<'a> {
    pub links: Links<'a>,
    pub request: &'a LetterPageRequest,
    pub page: &'a LetterPage,
    pub open_letters: i64,
    pub now: Timestamp,
    /// Token for its buttons.
    pub csrf_token: &'a str,
    pub notice: LetterNotice,
}

/// Notice like [`Notice`], about a dead letter.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterNotice {
    pub replayed: Option<LetterId>,
    pub discarded: Option<LetterId>,
}

#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    pub links: Links<'a>,
    pub status: u16,
    pub title: &'a str,
    pub detail: &'a str,
    pub request_id: &'a str,
}

/// The statuses that have a tile, with their counts; the order of a file's life.
fn tiles(stats: &Stats) -> [(Status, i64); 4] {
    [
        (Status::Pending, stats.pending),
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

/// Parts that touch each other and fill the bar; none when nothing is counted.
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
    /// Changes when the files or the counts do. Weak, because the spelled-out ages may differ under the same tag.
    pub fn etag(&self) -> EntityTag {
        let stats = Stats { oldest_unfinished_seconds: None, ..self.stats.clone() };
        let next = self.page.next.map(Cursor::encode);
        tag(&(&self.page.files, next, stats, self.links.here(self.request, self.refresh)))
    }

    pub fn tiles(&self) -> [(Status, i64); 4] {
        tiles(self.stats)
    }

    pub fn shares(&self) -> Vec<Share> {
        shares(self.stats)
    }

    pub fn poll(&self) -> String {
        self.links.fragment(self.request, self.refresh)
    }

    pub fn is_narrowed(&self) -> bool {
        self.request.status.is_some() || self.request.query.is_some()
    }

    pub fn query(&self) -> &str {
        self.request.query.as_deref().unwrap_or_default()
    }

    /// When the longest waiting file was asked for, to the second.
    pub fn oldest_unfinished(&self) -> Option<Timestamp> {
        let age = std::time::Duration::try_from_secs_f64(self.stats.oldest_unfinished_seconds?).ok()?;
        let at = self.now.as_datetime().checked_sub_signed(chrono::Duration::from_std(age).ok()?)?;
        Some(Timestamp::from(at))
    }
}

impl LettersPage<'_> {
    pub fn is_narrowed(&self) -> bool {
        self.request.file_id.is_some() || self.request.state != Some(LetterState::Open)
    }

    /// What can still be done about it.
    pub fn verbs(letter: &DeadLetter) -> &'static [(&'static str, &'static str)] {
        match letter.state {
            LetterState::Open => &[("replay", "Replay"), ("discard", "Discard")],
            LetterState::Discarded => &[("replay", "Replay")],
            LetterState::Replayed => &[],
        }
    }

    /// The whole value is more than what is shown of it.
    pub fn is_cut(letter: &DeadLetter) -> bool {
        let shown = letter.value.clone().map(Value::into_bytes).unwrap_or_default();
        i64::try_from(shown.len()).ok() < letter.size
    }
}

impl FileFragment<'_> {
    pub fn etag(&self) -> EntityTag {
        tag(&(self.links, self.file, self.timeline, self.is_put_aside))
    }

    /// Whether a person may make this move now.
    pub fn allows(&self, by: Move) -> bool {
        next(self.file.status, by).is_some()
    }

    pub fn poll(&self) -> String {
        self.links.file_fragment(self.file.id)
    }
}

/// The shape of the page belongs to the version, so another build gives another tag.
fn tag(seen: &impl Serialize) -> EntityTag {
    // Plain structs of strings and numbers always serialise; were it otherwise, an empty tag only costs a repaint.
    let seen = serde_json::to_vec(&(assets::style(), assets::script(), env!("CARGO_PKG_VERSION"), seen));
    etag::weak(&seen.unwrap_or_default())
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
