//! URLs that pages link to and redirect to: below the sub-path of `BASE_URL`, with escaped query strings.

use serde::Serialize;
use url::form_urlencoded::Serializer;

use crate::domain::files::status::Transition;
use crate::domain::pagination::LIMIT_DEFAULT;
use crate::domain::{
    Cursor, DeadLetterCursor, DeadLetterId, DeadLetterPageRequest, DeadLetterState, FileId, PageRequest,
    Status,
};

const DEAD_LETTERS: &str = "/ui/dead-letters";

/// Builder of all URLs of the pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Urls<'a> {
    /// Sub-path of `BASE_URL`: empty, or `/` and segments.
    prefix: &'a str,
}

impl<'a> Urls<'a> {
    /// Makes URLs below the sub-path.
    pub fn below(prefix: &'a str) -> Self {
        Self { prefix }
    }

    fn to(self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Page with the list of files.
    pub fn home(self) -> String {
        self.to("/")
    }

    /// List of files with a notice that one was just `created` or `deleted`.
    pub fn home_with_notice(self, done: &str, id: FileId) -> String {
        self.to(&format!("/?{done}={id}"))
    }

    /// List of files with a notice that so many were just uploaded.
    pub fn home_with_uploads(self, count: usize) -> String {
        self.to(&format!("/?uploaded={count}"))
    }

    /// Target of the upload form.
    pub fn upload(self) -> String {
        self.to("/ui/uploads")
    }

    /// Target of the form that creates a file.
    pub fn create(self) -> String {
        self.to("/ui/files")
    }

    /// Style sheet, script or icon.
    pub fn asset(self, name: &str) -> String {
        self.to(&format!("/assets/{name}"))
    }

    /// Path of the JSON API, given as it is without the sub-path.
    pub fn api(self, path: &str) -> String {
        self.to(path)
    }

    /// Page of one file.
    pub fn file(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}"))
    }

    /// Page of one file that reloads itself without JavaScript.
    pub fn file_refreshing(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}?refresh=on"))
    }

    /// Part of the page of one file that its script polls.
    pub fn file_fragment(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}/fragment"))
    }

    /// Target of a button on the page of one file.
    pub fn file_action(self, id: FileId, by: Transition) -> String {
        self.to(&format!("/ui/files/{id}/{}", by.name()))
    }

    /// JSON of one file.
    pub fn file_json(self, id: FileId) -> String {
        self.to(&format!("/files/{id}"))
    }

    /// JSON of a file's history.
    pub fn timeline_json(self, id: FileId) -> String {
        self.to(&format!("/files/{id}/timeline"))
    }

    /// Content of a completed file.
    pub fn content(self, id: FileId) -> String {
        self.to(&format!("/files/{id}/content"))
    }

    /// First page of the same list. With `refresh`, the page reloads itself without JavaScript.
    pub fn first(self, request: &PageRequest, refresh: bool) -> String {
        self.files_url("/", request, None, refresh)
    }

    /// Same page of the list.
    pub fn current(self, request: &PageRequest, refresh: bool) -> String {
        self.files_url("/", request, request.cursor, refresh)
    }

    /// Page of the list that begins after `cursor`.
    pub fn older(self, request: &PageRequest, cursor: Cursor, refresh: bool) -> String {
        self.files_url("/", request, Some(cursor), refresh)
    }

    /// List of the files in one status, or of all files if the list shows that status already.
    pub fn toggle_status(self, request: &PageRequest, status: Status, refresh: bool) -> String {
        let status = (request.status != Some(status)).then_some(status);
        let filtered = PageRequest { status, ..request.clone() };
        self.files_url("/", &filtered, None, refresh)
    }

    /// Part of the list that the page's script polls.
    pub fn list_fragment(self, request: &PageRequest, refresh: bool) -> String {
        self.files_url("/ui/files/fragment", request, request.cursor, refresh)
    }

    fn files_url(self, path: &str, request: &PageRequest, cursor: Option<Cursor>, refresh: bool) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(status) = request.status {
            query.append_pair("status", status.name());
        }
        if let Some(text) = &request.query {
            query.append_pair("q", text);
        }
        if request.limit != LIMIT_DEFAULT {
            query.append_pair("limit", &request.limit.to_string());
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.encode());
        }
        if refresh {
            query.append_pair("refresh", "on");
        }
        self.with_query(path, &query.finish())
    }

    /// List of the open dead letters.
    pub fn open_dead_letters(self) -> String {
        self.to(DEAD_LETTERS)
    }

    /// List of the open dead letters with a notice that one was just `replayed` or `discarded`.
    pub fn dead_letters_with_notice(self, done: &str, id: DeadLetterId) -> String {
        self.to(&format!("{DEAD_LETTERS}?{done}={id}"))
    }

    /// First page of the same list of dead letters.
    pub fn first_dead_letters(self, request: &DeadLetterPageRequest) -> String {
        self.dead_letters_url(request, None)
    }

    /// Page of the list of dead letters that begins after `cursor`.
    pub fn older_dead_letters(self, request: &DeadLetterPageRequest, cursor: DeadLetterCursor) -> String {
        self.dead_letters_url(request, Some(cursor))
    }

    /// List of all dead letters that name the file.
    pub fn dead_letters_of_file(self, file: FileId) -> String {
        self.to(&format!("{DEAD_LETTERS}?state=all&file_id={file}"))
    }

    /// Target of a button on the list of dead letters.
    pub fn dead_letter_action(self, id: DeadLetterId, action: &str) -> String {
        self.to(&format!("{DEAD_LETTERS}/{id}/{action}"))
    }

    /// JSON of one dead letter.
    pub fn dead_letter_json(self, id: DeadLetterId) -> String {
        self.to(&format!("/dead-letters/{id}"))
    }

    fn dead_letters_url(self, request: &DeadLetterPageRequest, cursor: Option<DeadLetterCursor>) -> String {
        let mut query = Serializer::new(String::new());
        if request.state != Some(DeadLetterState::Open) {
            query.append_pair("state", request.state_name());
        }
        if let Some(file) = request.file_id {
            query.append_pair("file_id", &file.to_string());
        }
        if request.limit != LIMIT_DEFAULT {
            query.append_pair("limit", &request.limit.to_string());
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.encode());
        }
        self.with_query(DEAD_LETTERS, &query.finish())
    }

    fn with_query(self, path: &str, query: &str) -> String {
        if query.is_empty() { self.to(path) } else { self.to(&format!("{path}?{query}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URLS: Urls<'_> = Urls { prefix: "" };

    fn request(status: Option<&str>, query: Option<&str>) -> PageRequest {
        PageRequest::new(None, None, status, query).unwrap()
    }

    #[test]
    fn the_plain_list_has_the_plain_address() {
        assert_eq!(URLS.first(&request(None, None), false), "/");
        assert_eq!(URLS.first(&request(None, None), true), "/?refresh=on");
    }

    #[test]
    fn every_address_is_below_the_sub_path() {
        let urls = Urls::below("/sub/path");
        let dead_letters = DeadLetterPageRequest::new(None, None, None, None).unwrap();
        for address in [
            urls.home(),
            urls.home_with_notice("created", FileId(7)),
            urls.file(FileId(7)),
            urls.file_fragment(FileId(7)),
            urls.file_action(FileId(7), Transition::Cancel),
            urls.content(FileId(7)),
            urls.first(&request(Some("failed"), None), true),
            urls.list_fragment(&request(None, None), false),
            urls.open_dead_letters(),
            urls.first_dead_letters(&dead_letters),
            urls.dead_letter_action(DeadLetterId(7), "replay"),
            urls.asset("app.css"),
            urls.api("/files"),
        ] {
            assert!(address.starts_with("/sub/path/"), "{address}");
        }
    }

    #[test]
    fn a_search_for_anything_cannot_break_out_of_its_parameter() {
        let odd = request(Some("failed"), Some("a&status=completed#\"><b>é"));
        let cursor = Cursor { before: FileId(7) };
        let address = URLS.older(&odd, cursor, false);
        assert_eq!(
            address,
            "/?status=failed&q=a%26status%3Dcompleted%23%22%3E%3Cb%3E%C3%A9&cursor=ZmlsZXM6Nw"
        );
    }

    #[test]
    fn a_status_chosen_twice_is_dropped_and_paging_starts_over() {
        let mut failed = request(Some("failed"), Some("x"));
        failed.cursor = Some(Cursor { before: FileId(7) });
        assert_eq!(URLS.toggle_status(&failed, Status::Failed, false), "/?q=x");
        assert_eq!(URLS.toggle_status(&failed, Status::Pending, true), "/?status=pending&q=x&refresh=on");
    }

    #[test]
    fn an_unusual_limit_is_kept() {
        let five = PageRequest::new(Some("5"), None, None, None).unwrap();
        assert_eq!(URLS.list_fragment(&five, false), "/ui/files/fragment?limit=5");
    }
}
