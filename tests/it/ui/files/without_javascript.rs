//! The pages of files by links and forms alone, and who may send a form.

use reqwest::Method;

use crate::support::{Answer, TestApp};
use crate::ui::visitor::{Visitor, between};

#[tokio::test]
async fn a_file_is_asked_for_followed_and_downloaded_by_forms_and_links_alone() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let posted = visitor.post(&[("title", " By form "), ("description", "one\r\ntwo")], &[]).await;
    assert_eq!((posted.status, posted.header("location")), (303, Some("/?created=1")), "{}", posted.text());
    let list = app.get("/?created=1").await.ok().text();
    assert!(list.contains("is on its way") && list.contains(">By form</a>"), "{list}");

    let file = app.page("/files").await.0.remove(0);
    assert_eq!(file.description.as_deref(), Some("one\ntwo"));
    app.wait_until_completed(file.id).await;
    let refreshing = app.get("/?refresh=on").await.ok().text();
    assert!(refreshing.contains("<noscript><meta http-equiv=\"refresh\""), "{refreshing}");
    let link = between(&refreshing, "id=\"get-1\" class=\"button small quiet\" href=\"", "\"");
    assert!(app.get(link).await.ok().text().contains("Title: By form\nDescription: one\ntwo\n"));
    let page = app.get(between(&refreshing, "id=\"open-1\" class=\"title\" href=\"", "\"")).await.ok();
    assert!(page.text().contains("<h1 class=\"title\" dir=\"auto\">By form</h1>"));
    app.stop().await;
}

#[tokio::test]
async fn a_refused_form_comes_back_with_its_text_and_the_reason() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    for (title, reason) in [("", "1 to 255 characters"), ("a\tb", "control characters")] {
        let refused = visitor.post(&[("title", title), ("description", "<b>kept</b>")], &[]).await;
        let text = refused.text();
        assert_eq!(refused.status, 422, "{text}");
        assert!(text.contains("The file was not created") && text.contains(reason), "{text}");
        assert!(text.contains("\n&#60;b&#62;kept&#60;/b&#62;</textarea>"), "{text}");
        assert!(!text.contains("<b>kept"), "{text}");
    }
    assert_eq!(app.stats().await.total, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_another_site_sent_is_refused() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let good = &[("title", "a")];
    for (header, cause) in [
        (("sec-fetch-site", "cross-site"), "a page of another site sent this"),
        (("sec-fetch-site", "same-site"), "a page of another site sent this"),
        (("origin", "https://evil.example"), "otherwise another site sent it"),
        (("origin", "null"), "sandboxed frame"),
    ] {
        let refused = visitor.post(good, &[header]).await;
        assert_eq!(refused.status, 403, "{header:?}");
        assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
        let text = refused.text();
        assert!(text.to_lowercase().contains(cause), "{cause}: {text}");
        assert!(text.contains("name=\"title\" type=\"text\" value=\"a\""), "the text is kept: {text}");
    }
    let stranger = Visitor::new(&app).await;
    for token in ["", "short", stranger.token.as_str()] {
        let refused = visitor.post_form(&[("csrf_token", token), ("title", "a")], &[]).await;
        assert_eq!(refused.status, 403, "{token:?}");
        assert!(refused.text().contains("not the one of this browser"), "{}", refused.text());
    }
    let without_cookie = Visitor { cookie: "other=1".to_owned(), ..stranger };
    let refused = without_cookie.post(good, &[]).await;
    assert!(refused.status == 403 && refused.text().contains("sent no cookie"), "{}", refused.text());
    // With the fresh token and cookie of the refusal it goes through.
    let text = refused.text();
    let again = Visitor {
        app: &app,
        token: between(&text, "name=\"csrf_token\" value=\"", "\"").to_owned(),
        cookie: refused.header("set-cookie").unwrap().split(';').next().unwrap().to_owned(),
    };
    assert_eq!(app.stats().await.total, 0);

    let origin = app.base.clone();
    let accepted =
        visitor.post(good, &[("sec-fetch-site", "same-origin"), ("origin", origin.as_str())]).await;
    assert_eq!(accepted.status, 303);
    assert_eq!(again.post(good, &[]).await.status, 303);
    // The browser's word outlives the cookie.
    let later = without_cookie.post(good, &[("origin", origin.as_str())]).await;
    assert_eq!(later.status, 303);
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_file_and_another_text_makes_another() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let page = app.get("/").await.ok().text();
    let key = between(&page, "name=\"key\" value=\"", "\"");
    let twice = [("key", key), ("title", "once"), ("description", "a\r\nb")];
    let (one, other) = tokio::join!(visitor.post(&twice, &[]), visitor.post(&twice, &[]));
    let third = visitor.post(&twice, &[]).await;
    for answer in [one, other, third] {
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/?created=1")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(app.stats().await.total, 1);
    // Back, changed, sent again.
    let changed = visitor.post(&[("key", key), ("title", "twice")], &[]).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_eq!(app.stats().await.total, 2);
    // Another form with the same text.
    let page = app.get("/").await.ok().text();
    let fresh = between(&page, "name=\"key\" value=\"", "\"");
    assert_ne!(fresh, key);
    visitor.post(&[("key", fresh), ("title", "once"), ("description", "a\r\nb")], &[]).await;
    assert_eq!(app.stats().await.total, 3);
    // A refused form keeps its key.
    let refused = visitor.post(&[("key", fresh), ("title", "")], &[]).await;
    assert_eq!(between(&refused.text(), "name=\"key\" value=\"", "\""), fresh);
    for odd in ["", "x", "'; DROP TABLE files; --"] {
        assert_eq!(visitor.post(&[("key", odd), ("title", "odd")], &[]).await.status, 303, "{odd}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_second_press_of_try_again_does_nothing_and_is_no_error() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let visitor = Visitor::new(&app).await;
    let file = app.post_file("pressed twice").await;
    let path = format!("/ui/files/{}", file.id);
    assert_eq!(visitor.press(&format!("{path}/cancel")).await.status, 303);
    let page = app.get(&path).await.ok().text();
    let attempt = between(&page, "name=\"attempt\" value=\"", "\"");
    let press = async || {
        let form = [("csrf_token", visitor.token.as_str()), ("attempt", attempt)];
        let request = app.request(Method::POST, &format!("{path}/retry")).header("cookie", &visitor.cookie);
        Answer::of(request.form(&form)).await
    };
    let (one, other) = tokio::join!(press(), press());
    assert_eq!([one.status, other.status, press().await.status], [303; 3], "{} {}", one.text(), other.text());
    assert_eq!(app.file(file.id).await.attempt.0, file.attempt.0 + 1);
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

#[tokio::test]
async fn the_list_is_narrowed_and_turned_by_links() {
    let app = TestApp::start().await;
    app.post_files((0..5).map(|n| format!("file <{n}>"))).await;
    app.wait_until_all_completed().await;
    let first = app.get("/?limit=2").await.ok().text();
    assert!(first.contains("file &#60;") && !first.contains("file <"), "{first}");
    let older = between(&first, "id=\"older\" class=\"button quiet\" rel=\"next\" href=\"", "\"");
    let second = app.get(&older.replace("&amp;", "&").replace("&#38;", "&")).await.ok().text();
    assert_ne!(between(&first, "id=\"file-", "\""), between(&second, "id=\"file-", "\""));
    assert!(second.contains("Newest files"));
    let none = app.get("/?status=failed").await.ok().text();
    assert!(none.contains("No file matches."), "{none}");
    app.stop().await;
}

#[tokio::test]
async fn a_file_is_cancelled_tried_again_and_deleted_by_buttons() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let visitor = Visitor::new(&app).await;
    let file = app.post_file("moved about").await;
    let page = format!("/ui/files/{}", file.id);
    for (button, offered, afterwards, statuses) in [
        ("cancel", ["cancel", "delete"], page.as_str(), &["Cancelled"][..]),
        ("retry", ["retry", "delete"], page.as_str(), &["Pending", "Processing"]),
        ("delete", ["cancel", "delete"], "/?deleted=1", &["Deleted"]),
    ] {
        let text = app.get(&page).await.ok().text();
        for path in offered.map(|name| format!("action=\"{page}/{name}\"")) {
            assert!(text.contains(&path), "{path}: {text}");
        }
        let answer = visitor.press(&format!("{page}/{button}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(afterwards)), "{}", answer.text());
        let text = app.get(&page).await.ok().text();
        assert!(statuses.iter().any(|status| text.contains(&format!("data-status=\"{status}\""))), "{text}");
    }
    assert!(app.get("/?deleted=1").await.ok().text().contains("File #1 was deleted."));

    let last = app.get(&page).await.ok().text();
    assert!(!last.contains("<button"), "{last}");
    let refused = visitor.press(&format!("{page}/retry")).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("retry is possible while it is: failed, cancelled"),
        "{}",
        refused.text()
    );
    let forged = Visitor { app: &app, token: "x".to_owned(), cookie: visitor.cookie.clone() };
    assert_eq!(forged.press(&format!("{page}/delete")).await.status, 403);
    app.stop_within(std::time::Duration::from_secs(20)).await;
}
