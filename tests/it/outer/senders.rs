//! Changes that a page of another site could send in a browser's name.

use filesys::domain::Status;
use reqwest::Method;

use crate::support::{Answer, TestApp};

async fn send(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = app.request(method.parse::<Method>().unwrap(), path);
    Answer::of(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn no_change_is_taken_from_a_page_of_another_site() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("kept").await;
    let changes = [
        ("POST", "/files".to_owned()),
        ("POST", format!("/files/{}/cancel", file.id)),
        ("POST", format!("/files/{}/retry", file.id)),
        ("DELETE", format!("/files/{}", file.id)),
        ("POST", "/dead-letters/1/replay".to_owned()),
        ("POST", "/dead-letters/1/discard".to_owned()),
        ("PUT", "/files".to_owned()),
    ];
    for headers in [
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
            ("origin", "https://evil.example"),
        ][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "new-word")],
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("content-type", "text/plain")],
        &[("origin", "http://localhost:1")],
        &[("origin", "")],
    ] {
        for (method, path) in &changes {
            let refused = send(&app, method, path, headers).await;
            assert_eq!(refused.status, 403, "{method} {path} {headers:?}");
            assert_eq!(refused.problem()["code"], "cross_site_request", "{method} {path} {headers:?}");
            assert_eq!(refused.header("access-control-allow-origin"), None);
        }
    }
    assert_ne!(app.file(file.id).await.status, Status::Cancelled);
    assert_eq!(app.stats().await.total, 1);
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

#[tokio::test]
async fn changes_of_programs_and_of_pages_of_the_service_are_taken() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("moved").await;
    let origin = app.base.clone();
    for headers in [
        &[][..],
        &[("origin", origin.as_str())],
        &[("sec-fetch-site", "same-origin"), ("origin", origin.as_str())],
        &[("sec-fetch-site", "none")],
        &[("referer", "https://evil.example/")],
    ] {
        let cancelled = send(&app, "POST", &format!("/files/{}/cancel", file.id), headers).await;
        assert_eq!(cancelled.status, 202, "{headers:?}");
    }
    for headers in
        [&[("content-type", "text/plain")][..], &[("content-type", "application/x-www-form-urlencoded")], &[]]
    {
        assert_eq!(send(&app, "POST", "/files", headers).await.status, 415, "{headers:?}");
    }
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_preflight_is_told_that_no_other_origin_may_ask() {
    let app = TestApp::start().await;
    for (path, method) in [("/files", "POST"), ("/files/1", "DELETE"), ("/nothing", "PUT")] {
        let headers = [("origin", "https://evil.example"), ("access-control-request-method", method)];
        let refused = send(&app, "OPTIONS", path, &headers).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.problem()["detail"].as_str().unwrap().contains("CORS"));
        let allows = ["access-control-allow-origin", "access-control-allow-methods"];
        assert!(allows.iter().all(|name| refused.header(name).is_none()), "{refused:?}");
    }
    let read = send(&app, "GET", "/files", &[("origin", "https://evil.example")]).await.ok();
    assert_eq!(read.header("access-control-allow-origin"), None);
    app.stop().await;
}
