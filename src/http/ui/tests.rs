//! Tests of the rendered pages: escaping, the form, empty lists, nothing inline.

use std::time::Duration;

use actix_web::http::StatusCode;
use askama::Template;

use super::error_page;
use super::forms::{CreateForm, UploadForm};
use super::templates::{
    DeadLetterNotice, DeadLettersPage, FileFragment, FileNotice, FilePage, FilesFragment, FilesPage,
};
use super::urls::Urls;
use crate::domain::dead_letters::dead_letter::Value;
use crate::domain::{
    Attempt, Attributes, Cursor, DeadLetter, DeadLetterCursor, DeadLetterId, DeadLetterPage,
    DeadLetterPageRequest, DeadLetterState, File, FileId, Format, HistoryEntry, Origin, Page, PageRequest,
    Stats, Status, Timestamp,
};

const HOSTILE: &str = "</title></textarea><script>alert('x')</script>\"&";

fn now() -> Timestamp {
    serde_json::from_str("\"2026-01-03T00:00:00Z\"").unwrap()
}

fn file(id: i64, title: &str, status: Status) -> File {
    File {
        id: FileId(id),
        title: title.to_owned(),
        description: Some(title.to_owned()),
        status,
        s3_location: (status == Status::Completed).then(|| "s3://bucket/files/1_a_1.txt".to_owned()),
        created_at: now(),
        updated_at: now(),
        format: Some(Format::Txt),
        content_type: Format::Txt.media_type().to_owned(),
        size: (status == Status::Completed).then_some(1234),
        sha256: None,
        attempt: Attempt::FIRST,
        error: (status == Status::Failed).then(|| title.to_owned()),
        erased_at: None,
        description_truncated: false,
        attributes: Attributes::default(),
        sequence: 1,
    }
}

fn all_statuses() -> Page {
    let files = (1..).zip(Status::ALL).map(|(id, status)| file(id, HOSTILE, status));
    Page { files: files.collect(), next: Some(Cursor { before: FileId(1) }) }
}

/// The list page of these files, as asked for.
fn list(page: &Page, request: &PageRequest, form: &CreateForm, refresh: bool) -> String {
    let stats = Stats { oldest_unfinished_seconds: Some(125.0), ..Stats::default() };
    let fragment = FilesFragment { urls: Urls::default(), request, page, stats: &stats, now: now(), refresh };
    let notice = FileNotice::default();
    let upload = UploadForm { tags: HOSTILE.to_owned(), max_bytes: 5_000_000, ..UploadForm::default() };
    let urls = Urls::default();
    FilesPage { urls, fragment, form, upload: &upload, notice, open_dead_letters: 0 }.render().unwrap()
}

fn plain() -> PageRequest {
    PageRequest::new(None, None, None, None).unwrap()
}

fn show(file: &File, timeline: &[HistoryEntry]) -> String {
    let fragment = FileFragment {
        urls: Urls::default(),
        file,
        timeline,
        has_open_dead_letter: true,
        now: now(),
        csrf_token: "token",
    };
    FilePage { urls: Urls::default(), fragment, refresh: true }.render().unwrap()
}

fn dead_letters_page(page: &DeadLetterPage, state: Option<&str>) -> String {
    let request = DeadLetterPageRequest::new(None, None, state, None).unwrap();
    let notice = DeadLetterNotice { replayed: Some(DeadLetterId(1)), discarded: None };
    let open_dead_letters = 12_345;
    DeadLettersPage {
        urls: Urls::default(),
        request: &request,
        page,
        open_dead_letters,
        now: now(),
        csrf_token: "token",
        notice,
    }
    .render()
    .unwrap()
}

fn dead_letter(id: i64, state: DeadLetterState, value: Option<Value>) -> DeadLetter {
    let origin = Origin { topic: HOSTILE.to_owned(), partition: 1, offset: 42 };
    DeadLetter {
        id: DeadLetterId(id),
        state,
        error: HOSTILE.to_owned(),
        file_id: Some(FileId(1)),
        attempt: Some(Attempt(2)),
        origin: Some(origin),
        partition: 0,
        offset: 7,
        key: None,
        headers: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(),
        header_list: Vec::new(),
        size: value.is_some().then_some(1234),
        value,
        received_at: now(),
        settled_at: None,
    }
}

fn all_dead_letters() -> DeadLetterPage {
    let values = [Some(Value::Text(HOSTILE.to_owned())), Some(Value::Bytes(vec![255])), None];
    let dead_letters = (1..).zip(DeadLetterState::ALL).zip(values);
    let dead_letters = dead_letters.map(|((id, state), value)| dead_letter(id, state, value)).collect();
    DeadLetterPage { dead_letters, next: Some(DeadLetterCursor { before: DeadLetterId(1) }) }
}

#[test]
fn each_dead_letter_has_the_buttons_of_its_state() {
    let page = dead_letters_page(&all_dead_letters(), Some("all"));
    for (action, offered) in [
        ("1/replay", true),
        ("1/discard", true),
        ("2/replay", false),
        ("2/discard", false),
        ("3/replay", true),
        ("3/discard", false),
    ] {
        assert_eq!(page.contains(&format!("action=\"/ui/dead-letters/{action}\"")), offered, "{action}");
    }
    for part in ["12,345", "1.2 kB, the beginning", "in base64", "no value", "/w==", "href=\"/ui/files/1\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let none = DeadLetterPage { dead_letters: Vec::new(), next: None };
    assert!(dead_letters_page(&none, None).contains("No dead letter is open."));
    assert!(dead_letters_page(&none, Some("discarded")).contains("No dead letter matches."));
}

fn every_page() -> Vec<String> {
    let hostile = PageRequest::new(None, None, None, Some(HOSTILE)).unwrap();
    let form =
        CreateForm { title: HOSTILE.to_owned(), description: HOSTILE.to_owned(), ..CreateForm::default() };
    let mut pages = vec![
        list(&all_statuses(), &hostile, &form, false),
        list(&all_statuses(), &hostile, &form, true),
        error_page::render(Urls::default(), StatusCode::NOT_FOUND, HOSTILE, HOSTILE),
        dead_letters_page(&all_dead_letters(), Some("all")),
    ];
    for status in Status::ALL {
        let line = HistoryEntry {
            at: now(),
            from: None,
            to: status,
            attempt: Attempt(2),
            worker: Some(HOSTILE.to_owned()),
            partition: Some(1),
            offset: Some(42),
            duration_ms: Some(1500),
            error: Some(HOSTILE.to_owned()),
        };
        pages.push(show(&file(1, HOSTILE, status), &[line]));
    }
    pages
}

#[test]
fn what_people_typed_is_text_and_never_markup() {
    for page in every_page() {
        assert!(!page.contains("<script>") && !page.contains("</title></"), "{page}");
        assert!(page.contains("&#60;script&#62;"), "{page}");
        let scripts = if page.contains("id=\"upload\"") { 3 } else { 1 };
        assert_eq!(page.matches("<script").count(), scripts, "{page}");
    }
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for page in every_page() {
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "://", "data:"] {
            let page = page.replace("s3://bucket/", "");
            assert!(!page.contains(forbidden), "{forbidden}: {page}");
        }
    }
}

#[test]
fn a_refused_form_keeps_what_was_typed_and_says_what_is_wrong_next_to_it() {
    let typed = CreateForm {
        csrf_token: "token".to_owned(),
        title: " \t".to_owned(),
        description: "\nfirst line is empty".to_owned(),
        ..CreateForm::default()
    };
    let refused = typed.to_new_file().unwrap_err();
    let form = CreateForm { errors: refused.fields, ..typed };
    let page = list(&all_statuses(), &plain(), &form, false);
    for part in [
        "<title>Not created: Files",
        "name=\"csrf_token\" value=\"token\"",
        "value=\" \t\"",
        // One line break is the parser's, the second is the person's.
        ">\n\nfirst line is empty</textarea>",
        "aria-invalid=\"true\" aria-describedby=\"title-error\"",
        "id=\"title-error\">Title is required",
        "<a href=\"#title\">",
        "tabindex=\"-1\" autofocus",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("description-error"));
}

#[test]
fn only_a_completed_file_can_be_downloaded() {
    let page = list(&all_statuses(), &plain(), &CreateForm::default(), false);
    let links: Vec<_> = page.match_indices("/content\"").collect();
    assert_eq!(links.len(), 1);
    assert!(page.contains("href=\"/files/4/content\""));
    for status in Status::ALL {
        let page = show(&file(7, "a", status), &[]);
        assert_eq!(page.contains("href=\"/files/7/content\""), status == Status::Completed);
    }
}

#[test]
fn an_empty_list_says_why_it_is_empty() {
    let none = Page { files: Vec::new(), next: None };
    let cursor = Cursor { before: FileId(1) }.encode();
    for (request, words) in [
        (plain(), "No files yet."),
        (PageRequest::new(None, None, None, Some("x")).unwrap(), "No file matches."),
        (PageRequest::new(None, None, Some("failed"), None).unwrap(), "No file matches."),
        (PageRequest::new(None, Some(&cursor), None, None).unwrap(), "the end of the list"),
    ] {
        let page = list(&none, &request, &CreateForm::default(), false);
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn the_page_that_reloads_itself_has_no_form_to_lose() {
    const RELOAD: &str = "<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>";
    let still = list(&all_statuses(), &plain(), &CreateForm::default(), false);
    assert!(
        still.contains("<textarea") && !still.contains(RELOAD) && still.contains("href=\"/?refresh=on\"")
    );
    let moving = list(&all_statuses(), &plain(), &CreateForm::default(), true);
    assert!(!moving.contains("<textarea") && moving.contains(RELOAD) && moving.contains("refresh=on"));
}

#[test]
fn forms_and_script_take_their_limits_from_the_code() {
    let page = list(&all_statuses(), &plain(), &CreateForm::default(), false);
    for part in [
        "name=\"title\" type=\"text\" value=\"\" maxlength=\"510\" required",
        "name=\"description\" rows=\"6\" maxlength=\"65536\"",
        "name=\"q\" type=\"search\" value=\"\" maxlength=\"510\"",
        "data-interval=\"2000\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_page_that_only_grew_older_keeps_its_tag() {
    let (page, request) = (all_statuses(), plain());
    let tag = |stats: &Stats, seconds, refresh| {
        let now = now().plus(Duration::from_secs(seconds));
        let request = &request;
        FilesFragment { urls: Urls::default(), request, page: &page, stats, now, refresh }.etag()
    };
    let young = Stats::default();
    let old = Stats { oldest_unfinished_seconds: Some(9.0), ..Stats::default() };
    let more = Stats { pending: 1, ..Stats::default() };
    assert_eq!(tag(&young, 0, false), tag(&old, 3600, false));
    assert_ne!(tag(&young, 0, false), tag(&more, 0, false));
    assert_ne!(tag(&young, 0, false), tag(&young, 0, true));
}
