//! Conditional requests: a change is refused with 412 when the file is not what the caller has seen (RFC 9110 §13).

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp};

const LONG_AGO: &str = "Sat, 03 Jan 2015 00:00:00 GMT";
const FAR_AWAY: &str = "Fri, 03 Jan 2099 00:00:00 GMT";

async fn ask(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = app.request(method, path);
    Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn a_change_on_a_condition_that_does_not_hold_is_refused() {
    let app = TestApp::start().await;
    let file = app.completed_file("kept").await;
    let path = format!("/files/{}", file.id);
    let tag = app.get(&path).await.ok().header("etag").unwrap().to_owned();
    assert!(!tag.starts_with("W/"), "{tag}: a weak tag can't be a condition");
    for headers in [
        &[("if-match", "\"stale\"")] as &[(&str, &str)],
        &[("if-match", "W/\"weak\""), ("if-unmodified-since", FAR_AWAY)],
        &[("if-match", &format!("W/{tag}"))],
        &[("if-match", "nonsense")],
        &[("if-none-match", &tag)],
        &[("if-none-match", "*")],
        &[("if-unmodified-since", LONG_AGO)],
    ] {
        let refused = ask(&app, Method::DELETE, &path, headers).await;
        assert_eq!(
            (refused.status, &refused.problem()["code"]),
            (412, &json!("precondition_failed")),
            "{headers:?}"
        );
        let get = ask(&app, Method::GET, &path, headers).await;
        assert!(matches!(get.status, 304 | 412), "{headers:?}: {}", get.status);
    }
    // What would fail anyway fails as it would without conditions.
    let stale = &[("if-match", "\"stale\"")];
    assert_eq!(ask(&app, Method::POST, &format!("{path}/cancel"), stale).await.status, 409);
    assert_eq!(ask(&app, Method::DELETE, "/files/999999", stale).await.status, 404);
    assert_eq!(app.file(file.id).await, file);
    let both = format!("\"other\", {tag}");
    let headers = [("if-match", both.as_str()), ("if-none-match", "\"x\""), ("if-modified-since", FAR_AWAY)];
    assert_eq!(ask(&app, Method::DELETE, &path, &headers).await.status, 204);
    app.stop().await;
}

#[tokio::test]
async fn of_many_changes_with_one_tag_one_is_made() {
    let app = TestApp::start().await;
    let id = app.broken_file().await;
    let path = format!("/files/{id}");
    // As a client sees it that takes gzip.
    let zipped = app.get_with(&path, "accept-encoding", "gzip").await.ok();
    let tag = zipped.header("etag").unwrap().to_owned();
    assert_ne!(app.get(&path).await.header("etag"), Some(&*tag), "other bytes, another strong tag");
    let condition = [("if-match", tag.as_str())];
    let deletes = join_all((0..8).map(|_| ask(&app, Method::DELETE, &path, &condition))).await;
    let mut answers: Vec<u16> = deletes.iter().map(|answer| answer.status).collect();
    answers.sort_unstable();
    assert_eq!(answers, [204, 412, 412, 412, 412, 412, 412, 412]);
    app.stop().await;
}

#[tokio::test]
async fn dead_letters_and_the_list_have_conditions_too() {
    let app = TestApp::start().await;
    app.broken_file().await;
    let id = app.dead_letters("/dead-letters", 1).await[0]["id"].clone();
    let path = format!("/dead-letters/{id}");
    let tag = app.get(&path).await.ok().header("etag").unwrap().to_owned();
    for verb in ["replay", "discard"] {
        let refused = ask(&app, Method::POST, &format!("{path}/{verb}"), &[("if-match", "\"stale\"")]).await;
        assert_eq!(refused.status, 412, "{verb}");
    }
    assert_eq!(ask(&app, Method::POST, &format!("{path}/discard"), &[("if-match", &tag)]).await.status, 204);
    let post = |name: &'static str, value: &'static str| {
        Answer::of(app.request(Method::POST, "/files").header(name, value).json(&json!({"title": "a"})))
    };
    assert_eq!(post("if-none-match", "*").await.status, 412);
    assert_eq!(post("if-match", "\"x\"").await.status, 412);
    assert_eq!(app.stats().await.total, 1);
    assert_eq!(post("if-match", "*").await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_head_request_has_no_range() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let path = format!("/files/{}/content", file.id);
    let size = file.size.unwrap().to_string();
    for range in ["bytes=0-4", "bytes=999999-"] {
        let head = ask(&app, Method::HEAD, &path, &[("range", range)]).await;
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*size)), "{range}");
        assert_eq!(head.header("content-range"), None);
    }
    // Conditions come before ranges.
    let stale = [("range", "bytes=0-4"), ("if-match", "\"x\"")];
    assert_eq!(ask(&app, Method::GET, &path, &stale).await.status, 412);
    let known = [("range", "bytes=0-4"), ("if-none-match", "*")];
    assert_eq!(ask(&app, Method::GET, &path, &known).await.status, 304);
    app.stop().await;
}

#[tokio::test]
async fn what_an_answer_depends_on_is_said() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let tag = app.get("/files").await.ok().header("etag").unwrap().to_owned();
    let content = format!("/files/{}/content", file.id);
    for path in ["/files", "/files/stats", "/", "/livez", "/dead-letters", &content] {
        for coding in ["identity", "gzip", "br"] {
            let answer = app.get_with(path, "accept-encoding", coding).await.ok();
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path} {coding}");
        }
    }
    let known = app.get_with("/files", "if-none-match", &tag).await;
    assert_eq!((known.status, known.header("vary")), (304, Some("Accept-Encoding")));
    for path in ["/files/999999", "/ui/files/999999", "/nothing", "/files?limit=0"] {
        let page = app.get_with(path, "accept", "text/html;q=0.5, application/json;q=0.4").await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let json = app.get_with(path, "accept", "text/html;q=0, application/json").await;
        assert_eq!(json.header("content-type"), Some("application/problem+json"), "{path}");
        for answer in [page, json] {
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"), "{path}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn the_coding_of_an_answer_is_the_one_with_the_higher_quality() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    for (accepts, coding) in [
        ("gzip", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0", None),
        ("br, *;q=0.1, identity;q=0", Some("gzip")),
        ("identity", None),
        ("gzip;q=nonsense", None),
    ] {
        let answer = app.get_with("/files", "accept-encoding", accepts).await.ok();
        assert_eq!(answer.header("content-encoding"), coding, "{accepts}");
    }
    for (path, accepts) in [
        ("/files".to_owned(), "identity;q=0"),
        ("/files".to_owned(), "*;q=0"),
        (format!("/files/{}/content", file.id), "gzip, identity;q=0"),
    ] {
        let refused = app.get_with(&path, "accept-encoding", accepts).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (406, &json!("not_acceptable")), "{path}");
    }
    app.stop().await;
}
