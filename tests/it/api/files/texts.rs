//! Texts from other programs: byte order marks, different spellings of one character, names of downloads.

use filesys::domain::File;
use serde_json::json;

use crate::support::TestApp;
use crate::support::raw::Request;

#[tokio::test]
async fn a_byte_order_mark_is_ignored() {
    let app = TestApp::start().await;
    let marked = Request::create("\u{feff}{\"title\":\"\u{feff}marked\"}").send(app.address()).await.unwrap();
    assert_eq!(marked.status, 201, "{}", marked.text());
    assert_eq!(marked.json::<File>().title, "marked");
    let typed = Request::new("POST", "/files").header("Content-Type", "application/json; charset=UTF-8");
    assert_eq!(typed.body(r#"{"title":"a"}"#).send(app.address()).await.unwrap().status, 201);
    for charset in ["utf-16", "iso-8859-1", "\"latin1\""] {
        let content_type = format!("application/json; charset={charset}");
        let other = Request::new("POST", "/files").header("Content-Type", content_type);
        let answer = other.body(r#"{"title":"a"}"#).send(app.address()).await.unwrap();
        assert_eq!((answer.status, &answer.problem()["code"]), (415, &json!("unsupported_media_type")));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_title_is_stored_and_found_in_one_spelling() {
    let app = TestApp::start().await;
    let file = app.post_file("e\u{301}cole").await;
    assert_eq!(file.title, "école");
    // From before titles were normalized.
    let sql = "INSERT INTO files (title, deadline_at, status, s3_location)
               VALUES (U&'o\\0308l', now(), 'completed', 's3://b/k') RETURNING id";
    let old: i64 = app.ground.database.one(sql).await;
    for (query, id) in
        [("%C3%A9COLE", file.id.0), ("E%CC%81cole", file.id.0), ("%C3%B6l", old), ("o%CC%88l", old)]
    {
        let found = app.page(&format!("/files?q={query}")).await.0;
        assert_eq!(found.iter().map(|file| file.id.0).collect::<Vec<_>>(), [id], "{query}");
    }
    // Nothing to see is nothing to search for.
    assert_eq!(app.page("/files?q=%E2%80%8B%20").await.0.len(), 2);
    let long = app.post(&json!({"title": "e\u{301}".repeat(255)})).await;
    assert_eq!(long.status, 201, "255 characters once they are normalized");
    assert_eq!(app.post(&json!({"title": "e\u{301}".repeat(256)})).await.status, 422);
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_request_may_be_spelled_otherwise() {
    let app = TestApp::start().await;
    let post = |title: &'static str| {
        let request = app.request(reqwest::Method::POST, "/files").header("idempotency-key", "k");
        crate::support::Answer::of(request.json(&json!({ "title": title })))
    };
    let first: File = post("\u{e9}").await.json();
    let again = post("e\u{301}").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.json::<File>().id, first.id);
    app.stop().await;
}

#[tokio::test]
async fn long_and_foreign_titles_give_names_that_differ_and_fit() {
    let app = TestApp::start().await;
    let mut names = std::collections::BTreeSet::new();
    let titles = ["日本".to_owned(), "中国".to_owned(), "x".repeat(252), "日".repeat(255), "NUL".to_owned()];
    for title in &titles {
        let file = app.completed_file(title).await;
        let answer = app.content(file.id).await.ok();
        let disposition = answer.header("content-disposition").unwrap();
        let (_, rest) = disposition.split_once("filename=\"").unwrap();
        let (ascii, full) = rest.split_once("\"; filename*=UTF-8''").unwrap();
        let query = format!("name={full}");
        let (_, full) = url::form_urlencoded::parse(query.as_bytes()).next().unwrap();
        assert!(ascii.len() <= 255 && full.len() <= 255, "{disposition}");
        let has_extension =
            |name: &str| name.rsplit_once('.').is_some_and(|(_, extension)| extension == "txt");
        assert!(ascii.is_ascii() && has_extension(ascii) && has_extension(&full), "{disposition}");
        names.insert(ascii.to_owned());
    }
    assert_eq!(names.len(), titles.len(), "{names:?}");
    app.stop().await;
}
