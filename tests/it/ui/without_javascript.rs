//! The pages by links and forms alone, and who may post a form.

use reqwest::Method;

use crate::support::{Answer, TestApp};

/// What a browser holds after it has loaded the page: the form's token and the cookie that must match it.
struct Visitor<'a> {
    app: &'a TestApp,
    token: String,
    cookie: String,
}

impl<'a> Visitor<'a> {
    async fn of(app: &'a TestApp) -> Self {
        let page = app.get("/").await.ok();
        let cookie = page.header("set-cookie").expect("a cookie for the form");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let text = page.text();
        let token = between(&text, "name=\"csrf_token\" value=\"", "\"").to_owned();
        Self { app, token, cookie }
    }

    async fn post(&self, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut form = vec![("csrf_token", self.token.as_str())];
        form.extend(fields);
        self.post_form(&form, headers).await
    }

    /// Presses one of the buttons of a file's page.
    async fn press(&self, path: &str) -> Answer {
        let request = self.app.request(Method::POST, path).header("cookie", &self.cookie);
        Answer::of(request.form(&[("csrf_token", &self.token)])).await
    }

    async fn post_form(&self, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let request = self.app.request(Method::POST, "/ui/files").header("cookie", &self.cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.form(form)).await
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

#[tokio::test]
async fn a_file_is_asked_for_followed_and_downloaded_by_forms_and_links_alone() {
    let app = TestApp::start().await;
    let visitor = Visitor::of(&app).await;
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
    let visitor = Visitor::of(&app).await;
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
    let visitor = Visitor::of(&app).await;
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
    let stranger = Visitor::of(&app).await;
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
    let visitor = Visitor::of(&app).await;
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
    let visitor = Visitor::of(&app).await;
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

#[tokio::test]
async fn a_file_is_cancelled_tried_again_and_deleted_by_buttons() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let visitor = Visitor::of(&app).await;
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

#[tokio::test]
async fn dead_letters_are_looked_at_replayed_and_discarded_by_links_and_buttons() {
    let app = TestApp::start().await;
    let page = "/ui/dead-letters";
    let none = app.get(page).await.ok().text();
    assert!(none.contains("No dead letter is open.") && !none.contains("class=\"count\""), "{none}");
    let id = app.broken_file().await;
    app.publish("file.create", "<not json>").await;
    app.letters("/dead-letters", 2).await;
    let visitor = Visitor::of(&app).await;
    assert!(app.get("/").await.text().contains("<span class=\"unseen\">open: </span>2</span>"));

    let file = app.get(&format!("/ui/files/{id}")).await.ok().text();
    let link =
        between(&file, "id=\"dead-letters\" href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(link, format!("/ui/dead-letters?state=all&file_id={id}"));
    let its_own = app.get(&link).await.ok().text();
    assert!(its_own.contains(&format!("href=\"/ui/files/{id}\"")), "{its_own}");
    assert!(its_own.contains("not a file.create message") && !its_own.contains("not json"), "{its_own}");
    let first = between(&its_own, "id=\"dead-letter-", "\"").to_owned();

    let both = app.get(page).await.ok().text();
    assert!(both.contains("&#60;not json&#62;") && !both.contains("<not"), "{both}");
    for (letter, verb, words) in
        [(first.as_str(), "replay", "is replayed"), (other(&both, &first), "discard", "is discarded")]
    {
        let action = format!("{page}/{letter}/{verb}");
        assert!(both.contains(&format!("action=\"{action}\"")), "{action}: {both}");
        let pressed = visitor.press(&action).await;
        let location = pressed.header("location").unwrap_or_default().to_owned();
        assert_eq!((pressed.status, location.as_str()), (303, &*format!("{page}?{verb}ed={letter}")));
        let after = app.get(&location).await.ok().text();
        assert!(after.contains(&format!("Dead letter #{letter} {words}")), "{after}");
        assert!(!after.contains(&action), "{after}");
    }
    app.wait_until_completed(id).await;
    let settled = app.get(&format!("{page}?state=all")).await.ok().text();
    let buttons = settled.matches("<button id=").count();
    assert_eq!(buttons, 1, "a discarded one may be replayed: {settled}");

    let refused = visitor.press(&format!("{page}/{first}/discard")).await;
    assert_eq!((refused.status, refused.header("content-type")), (409, Some("text/html; charset=utf-8")));
    let forged = Visitor { app: &app, token: "x".to_owned(), cookie: visitor.cookie.clone() };
    assert_eq!(forged.press(&format!("{page}/{first}/replay")).await.status, 403);
    let reloaded = app.get(&format!("{page}/{first}/replay")).await;
    assert_eq!((reloaded.status, reloaded.header("location")), (303, Some(page)));
    for (path, status) in [("?state=x", 400), ("?file_id=x", 400), ("?limit=0", 400), ("?cursor=x", 400)] {
        assert_eq!(app.get(&format!("{page}{path}")).await.status, status, "{path}");
    }
    app.stop().await;
}

/// The letter on the page that isn't this one.
fn other<'t>(page: &'t str, one: &str) -> &'t str {
    let ids = page.split("id=\"dead-letter-").skip(1).map(|rest| rest.split_once('"').unwrap().0);
    ids.into_iter().find(|id| *id != one).expect("two letters")
}
