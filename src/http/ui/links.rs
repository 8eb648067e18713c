//! The addresses that pages link to, query strings escaped.

use url::form_urlencoded::Serializer;

use crate::domain::page::LIMIT_DEFAULT;
use crate::domain::status::Move;
use crate::domain::{
    Cursor, FileId, LetterCursor, LetterId, LetterPageRequest, LetterState, PageRequest, Status,
};

/// The page of one file.
pub fn file(id: FileId) -> String {
    format!("/ui/files/{id}")
}

/// The same, reloading itself without JavaScript.
pub fn file_refreshing(id: FileId) -> String {
    format!("/ui/files/{id}?refresh=on")
}

/// What a button of that page posts to.
pub fn act(id: FileId, by: Move) -> String {
    format!("/ui/files/{id}/{}", by.name())
}

/// The bytes of a completed file.
pub fn content(id: FileId) -> String {
    format!("/files/{id}/content")
}

/// The same list from its beginning; `refresh` asks for the version that reloads itself without JavaScript.
pub fn list(request: &PageRequest, refresh: bool) -> String {
    address("/", request, None, refresh)
}

/// The same slice of the list.
pub fn here(request: &PageRequest, refresh: bool) -> String {
    address("/", request, request.cursor, refresh)
}

/// The slice that begins after `cursor`.
pub fn older(request: &PageRequest, cursor: Cursor, refresh: bool) -> String {
    address("/", request, Some(cursor), refresh)
}

/// The list narrowed to one status; asked for again, it shows all.
pub fn only(request: &PageRequest, status: Status, refresh: bool) -> String {
    let status = (request.status != Some(status)).then_some(status);
    let narrowed = PageRequest { status, ..request.clone() };
    address("/", &narrowed, None, refresh)
}

/// What the page's script polls for this slice.
pub fn fragment(request: &PageRequest, refresh: bool) -> String {
    address("/ui/files/fragment", request, request.cursor, refresh)
}

fn address(path: &str, request: &PageRequest, cursor: Option<Cursor>, refresh: bool) -> String {
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
    joined(path, &query.finish())
}

/// The same list of dead letters from its beginning.
pub fn letters(request: &LetterPageRequest) -> String {
    letters_address(request, None)
}

pub fn older_letters(request: &LetterPageRequest, cursor: LetterCursor) -> String {
    letters_address(request, Some(cursor))
}

/// Every dead letter that names the file.
pub fn letters_of(file: FileId) -> String {
    format!("{LETTERS}?state=all&file_id={file}")
}

/// What a button of that list posts to.
pub fn settle(id: LetterId, verb: &str) -> String {
    format!("{LETTERS}/{id}/{verb}")
}

pub const LETTERS: &str = "/ui/dead-letters";

fn letters_address(request: &LetterPageRequest, cursor: Option<LetterCursor>) -> String {
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
    joined(LETTERS, &query.finish())
}

fn joined(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(status: Option<&str>, query: Option<&str>) -> PageRequest {
        PageRequest::new(None, None, status, query).unwrap()
    }

    #[test]
    fn the_plain_list_has_the_plain_address() {
        assert_eq!(list(&request(None, None), false), "/");
        assert_eq!(list(&request(None, None), true), "/?refresh=on");
    }

    #[test]
    fn a_search_for_anything_cannot_break_out_of_its_parameter() {
        let odd = request(Some("failed"), Some("a&status=completed#\"><b>é"));
        let cursor = Cursor { before: FileId(7) };
        let address = older(&odd, cursor, false);
        assert_eq!(
            address,
            "/?status=failed&q=a%26status%3Dcompleted%23%22%3E%3Cb%3E%C3%A9&cursor=ZmlsZXM6Nw"
        );
    }

    #[test]
    fn a_status_chosen_twice_is_let_go_and_paging_starts_over() {
        let mut failed = request(Some("failed"), Some("x"));
        failed.cursor = Some(Cursor { before: FileId(7) });
        assert_eq!(only(&failed, Status::Failed, false), "/?q=x");
        assert_eq!(only(&failed, Status::Pending, true), "/?status=pending&q=x&refresh=on");
    }

    #[test]
    fn an_unusual_limit_is_kept() {
        let five = PageRequest::new(Some("5"), None, None, None).unwrap();
        assert_eq!(fragment(&five, false), "/ui/files/fragment?limit=5");
    }
}
