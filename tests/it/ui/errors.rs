//! Errors that happen on pages are shown on pages.

use crate::support::TestApp;

#[tokio::test]
async fn what_goes_wrong_on_a_page_is_told_on_a_page() {
    let app = TestApp::start().await;
    for (path, status) in
        [("/ui/files/abc", 400), ("/ui/files/7", 404), ("/?limit=0", 400), ("/?status=x", 400)]
    {
        let answer = app.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let id = answer.header("x-request-id").unwrap();
        assert!(answer.text().contains(id), "{path} names the request");
    }
    let nothing = app.get_with("/nothing", "accept", "text/html,*/*;q=0.8").await;
    assert_eq!((nothing.status, nothing.header("content-type")), (404, Some("text/html; charset=utf-8")));
    app.stop().await;
}
