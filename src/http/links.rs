//! The addresses that pages link to and redirect to, query strings escaped, below the sub-path of `BASE_URL`.

use serde::Serialize;
use url::form_urlencoded::Serializer;

use crate::domain::page::LIMIT_DEFAULT;
use crate::domain::status::Move;
use crate::domain::{
    Cursor, FileId, LetterCursor, LetterId, LetterPageRequest, LetterState, PageRequest, Status,
};

/// Makes every address of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Links<'a> {
    /// Empty, or `/` and segments.
    prefix: &'a str,
}

impl<'a> Links<'a> {
    pub fn below(prefix: &'a str) -> Self {
        Self { prefix }
    }

    fn to(self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The list of files.
    pub fn home(self) -> String {
        self.to("/")
    }

    /// The list, with a word on what was just done to a file: `created` or `deleted`.
    pub fn after(self, done: &str, id: FileId) -> String {
        self.to(&format!("/?{done}={id}"))
    }

    /// What the create form posts to.
    pub fn create(self) -> String {
        self.to("/ui/files")
    }

    pub fn asset(self, name: &str) -> String {
        self.to(&format!("/assets/{name}"))
    }

    /// A path of the JSON API, as it is without a prefix.
    pub fn api(self, path: &str) -> String {
        self.to(path)
    }

    /// The page of one file.
    pub fn file(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}"))
    }

    /// The same, reloading itself without JavaScript.
    pub fn file_refreshing(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}?refresh=on"))
    }

    /// What the script of that page polls.
    pub fn file_fragment(self, id: FileId) -> String {
        self.to(&format!("/ui/files/{id}/fragment"))
    }

    /// What a button of that page posts to.
    pub fn act(self, id: FileId, by: Move) -> String {
        self.to(&format!("/ui/files/{id}/{}", by.name()))
    }

    /// The JSON of one file.
    pub fn file_json(self, id: FileId) -> String {
        self.to(&format!("/files/{id}"))
    }

    /// The JSON of its history.
    pub fn timeline_json(self, id: FileId) -> String {
        self.to(&format!("/files/{id}/timeline"))
    }

    /// The bytes of a completed file.
    pub fn content(self, id: FileId) -> String {
        self.to(&format!("/files/{id}/content"))
    }

    /// The same list from its beginning; `refresh` asks for the version that reloads itself without JavaScript.
    pub fn list(self, request: &PageRequest, refresh: bool) -> String {
        self.address("/", request, None, refresh)
    }

    /// The same slice of the list.
    pub fn here(self, request: &PageRequest, refresh: bool) -> String {
        self.address("/", request, request.cursor, refresh)
    }

    /// The slice that begins after `cursor`.
    pub fn older(self, request: &PageRequest, cursor: Cursor, refresh: bool) -> String {
        self.address("/", request, Some(cursor), refresh)
    }

    /// The list narrowed to one status; asked for again, it shows all.
    pub fn only(self, request: &PageRequest, status: Status, refresh: bool) -> String {
        let status = (request.status != Some(status)).then_some(status);
        let narrowed = PageRequest { status, ..request.clone() };
        self.address("/", &narrowed, None, refresh)
    }

    /// What the page's script polls for this slice.
    pub fn fragment(self, request: &PageRequest, refresh: bool) -> String {
        self.address("/ui/files/fragment", request, request.cursor, refresh)
    }

    fn address(self, path: &str, request: &PageRequest, cursor: Option<Cursor>, refresh: bool) -> String {
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
        self.joined(path, &query.finish())
    }

    /// The list of open dead letters.
    pub fn open_letters(self) -> String {
        self.to(LETTERS)
    }

    /// The list of open dead letters, with a word on what was just done to one: `replayed` or `discarded`.
    pub fn after_letter(self, done: &str, id: LetterId) -> String {
        self.to(&format!("{LETTERS}?{done}={id}"))
    }

    /// The same list of dead letters from its beginning.
    pub fn letters(self, request: &LetterPageRequest) -> String {
        self.letters_address(request, None)
    }

    pub fn older_letters(self, request: &LetterPageRequest, cursor: LetterCursor) -> String {
        self.letters_address(request, Some(cursor))
    }

    /// Every dead letter that names the file.
    pub fn letters_of(self, file: FileId) -> String {
        self.to(&format!("{LETTERS}?state=all&file_id={file}"))
    }

    /// What a button of that list posts to.
    pub fn settle(self, id: LetterId, verb: &str) -> String {
        self.to(&format!("{LETTERS}/{id}/{verb}"))
    }

    /// The JSON of one dead letter.
    pub fn letter_json(self, id: LetterId) -> String {
        self.to(&format!("/dead-letters/{id}"))
    }

    fn letters_address(self, request: &LetterPageRequest, cursor: Option<LetterCursor>) -> String {
        let mut query = Serializer::new(String::new());
        if request.state != Some(LetterState::Open) {
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
        self.joined(LETTERS, &query.finish())
    }

    fn joined(self, path: &str, query: &str) -> String {
        if query.is_empty() { self.to(path) } else { self.to(&format!("{path}?{query}")) }
    }
}

const LETTERS: &str = "/ui/dead-letters";

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: Links<'_> = Links { prefix: "" };

    fn request(status: Option<&str>, query: Option<&str>) -> PageRequest {
        PageRequest::new(None, None, status, query).unwrap()
    }

    #[test]
    fn the_plain_list_has_the_plain_address() {
        assert_eq!(LINKS.list(&request(None, None), false), "/");
        assert_eq!(LINKS.list(&request(None, None), true), "/?refresh=on");
    }

    #[test]
    fn every_address_is_below_the_sub_path() {
        let links = Links::below("/sub/path");
        let letters = LetterPageRequest::new(None, None, None, None).unwrap();
        for address in [
            links.home(),
            links.after("created", FileId(7)),
            links.file(FileId(7)),
            links.file_fragment(FileId(7)),
            links.act(FileId(7), Move::Cancel),
            links.content(FileId(7)),
            links.list(&request(Some("failed"), None), true),
            links.fragment(&request(None, None), false),
            links.open_letters(),
            links.letters(&letters),
            links.settle(LetterId(7), "replay"),
            links.asset("app.css"),
            links.api("/files"),
        ] {
            assert!(address.starts_with("/sub/path/"), "{address}");
        }
    }

    #[test]
    fn a_search_for_anything_cannot_break_out_of_its_parameter() {
        let odd = request(Some("failed"), Some("a&status=completed#\"><b>é"));
        let cursor = Cursor { before: FileId(7) };
        let address = LINKS.older(&odd, cursor, false);
        assert_eq!(
            address,
            "/?status=failed&q=a%26status%3Dcompleted%23%22%3E%3Cb%3E%C3%A9&cursor=ZmlsZXM6Nw"
        );
    }

    #[test]
    fn a_status_chosen_twice_is_let_go_and_paging_starts_over() {
        let mut failed = request(Some("failed"), Some("x"));
        failed.cursor = Some(Cursor { before: FileId(7) });
        assert_eq!(LINKS.only(&failed, Status::Failed, false), "/?q=x");
        assert_eq!(LINKS.only(&failed, Status::Pending, true), "/?status=pending&q=x&refresh=on");
    }

    #[test]
    fn an_unusual_limit_is_kept() {
        let five = PageRequest::new(Some("5"), None, None, None).unwrap();
        assert_eq!(LINKS.fragment(&five, false), "/ui/files/fragment?limit=5");
    }
}
