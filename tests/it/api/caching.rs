//! Entity tags: what the client has is not sent again, what has changed is.

use filesys::domain::Status;

use crate::support::TestApp;

#[tokio::test]
async fn what_the_caller_has_is_answered_with_304_and_no_body() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let id = file.id;
    for path in [
        "/files".to_owned(),
        "/files/stats".to_owned(),
        format!("/files/{id}"),
        format!("/files/{id}/timeline"),
        format!("/files/{id}/content"),
        format!("/ui/files/{id}/fragment"),
    ] {
        let whole = app.get(&path).await.ok();
        let tag = whole.header("etag").expect("an entity tag").to_owned();
        let opaque = tag.trim_start_matches("W/");
        for known in [tag.clone(), "*".to_owned(), opaque.to_owned(), format!("\"other\", {tag}")] {
            let answer = app.get_with(&path, "if-none-match", &known).await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {known}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{path}");
        }
        for other in ["\"other\"", "nonsense", ""] {
            let answer = app.get_with(&path, "if-none-match", other).await;
            assert_eq!(answer.status, 200, "{path} {other:?}");
            // A page spells out ages, which grow.
            assert!(answer.body == whole.body || path.starts_with("/ui/"), "{path}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_change_changes_the_tag() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("a").await;
    app.wait_until(file.id, Status::Processing).await;
    let record = format!("/files/{}", file.id);
    let paths = [record.as_str(), "/files", "/files/stats", "/ui/files/fragment"];
    let mut tags = Vec::new();
    for path in paths {
        let answer = app.get(path).await.ok();
        tags.push(answer.header("etag").expect("an entity tag").to_owned());
    }
    let app = app.stop().await.start(&[]).await;
    app.wait_until_completed(file.id).await;
    for (path, tag) in paths.iter().zip(&tags) {
        assert_eq!(app.get_with(path, "if-none-match", tag).await.status, 200, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn head_gives_the_headers_of_get_without_the_body() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    for path in [
        "/".to_owned(),
        "/livez".to_owned(),
        "/readyz".to_owned(),
        "/files".to_owned(),
        "/files/stats".to_owned(),
        format!("/files/{}", file.id),
        format!("/files/{}/timeline", file.id),
        format!("/files/{}/content", file.id),
        format!("/ui/files/{}", file.id),
    ] {
        let (get, head) = (app.get(&path).await.ok(), app.head(&path).await.ok());
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        let length = get.body.len().to_string();
        for name in ["content-type", "content-disposition", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        // The page's length depends on the form's token and on ages spelled out.
        if !path.starts_with("/ui/") && path != "/" {
            assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
        }
    }
    app.stop().await;
}
