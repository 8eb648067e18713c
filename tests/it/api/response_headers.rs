//! Headers of every answer: its request id, and rules for browsers.

use crate::support::TestApp;

#[tokio::test]
async fn a_request_id_is_kept_when_it_is_sane_and_given_otherwise() {
    let app = TestApp::start().await;
    let kept = app.get_with("/files/0", "x-request-id", "order-7_a.b:c").await;
    assert_eq!(kept.header("x-request-id"), Some("order-7_a.b:c"));
    assert_eq!(kept.problem()["request_id"], "order-7_a.b:c");
    let long = "a".repeat(129);
    let mut given = Vec::new();
    for insane in ["", "a b", "<script>", "é", long.as_str()] {
        let answer = app.get_with("/files", "x-request-id", insane).await.ok();
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{insane:?} became {id}");
        given.push(id);
    }
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 5);
    app.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_a_browser() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    for path in [
        "/",
        "/files",
        "/livez",
        "/nothing/here",
        "/files/0",
        "/assets/none.js",
        &format!("/ui/files/{}", file.id),
        &format!("/files/{}/content", file.id),
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("default-src 'self'")
                && policy.contains("frame-ancestors 'none'")
                && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
    app.stop().await;
}
