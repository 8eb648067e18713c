//! Downloads: the content or a range of it, under a safe name, and only if it is what was stored.

use std::time::Duration;

use filesys::domain::Status;
use reqwest::{Client, redirect};

use super::{send, upload};
use crate::support::{Answer, TestApp};

#[tokio::test]
async fn there_is_no_content_before_the_file_is_completed() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("slow").await;
    let early = app.content(file.id).await;
    assert_eq!((early.status, &early.problem()["code"]), (409, &"file_not_ready".into()));
    app.wait_until(file.id, Status::Processing).await;
    let late = app.content(file.id).await;
    assert_eq!((late.status, &late.problem()["code"]), (409, &"file_not_ready".into()));
    // The work is far from done: it is handed back when the time to stop is over.
    app.stop_within(Duration::from_secs(15)).await;
}

#[tokio::test]
async fn a_download_is_an_attachment_with_its_length_and_the_digest_as_its_tag() {
    let app = TestApp::start().await;
    let file = app.completed_file("Report 7").await;
    let answer = app.content(file.id).await.ok();
    let size = file.size.unwrap().to_string();
    let tag = format!("\"{}\"", file.sha256.unwrap());
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", &size),
        ("etag", &tag),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment; filename=\"Report 7.txt\"; filename*=UTF-8''Report%207.txt"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let zipped = app.get_with(&format!("/files/{}/content", file.id), "accept-encoding", "gzip").await;
    assert_eq!((zipped.header("content-encoding"), &zipped.body), (None, &answer.body));
    app.stop().await;
}

#[tokio::test]
async fn one_range_of_the_bytes_can_be_asked_for() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let path = format!("/files/{}/content", file.id);
    let whole = app.get(&path).await.ok().body;
    let end = whole.len() - 1;
    for (range, first, last) in [
        ("bytes=0-3".to_owned(), 0, 3),
        ("bytes=5-5".to_owned(), 5, 5),
        ("bytes=20-".to_owned(), 20, end),
        ("bytes=-7".to_owned(), end - 6, end),
        (format!("bytes={end}-{end}"), end, end),
        ("bytes=3-99999999999999999999".to_owned(), 3, end),
        ("bytes=-99999".to_owned(), 0, end),
    ] {
        let answer = app.get_with(&path, "range", &range).await;
        assert_eq!(answer.status, 206, "{range}");
        let expected = format!("bytes {first}-{last}/{}", whole.len());
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
        assert_eq!(answer.body, whole[first..=last], "{range}");
    }
    let twice = crate::support::raw::Request::get(path.clone());
    let twice = twice.header("Range", "bytes=0-1").header("Range", "bytes=3-4");
    assert_eq!(twice.send(app.address()).await.unwrap().body, whole, "no one can say which is meant");
    for not_one_range in ["bytes=0-1,3-4", "lines=0-3", "bytes=9-3", "bytes=x-y", "bytes="] {
        let answer = app.get_with(&path, "range", not_one_range).await;
        assert_eq!((answer.status, &answer.body), (200, &whole), "{not_one_range}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_range_behind_the_end_is_refused_and_the_size_is_told() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let path = format!("/files/{}/content", file.id);
    let size = file.size.unwrap();
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned(), "bytes=99999-".to_owned()] {
        let answer = app.get_with(&path, "range", &range).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.problem()["code"], "range_not_satisfiable");
        let expected = format!("bytes */{size}");
        assert_eq!(answer.header("content-range"), Some(expected.as_str()));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_range_of_another_version_gives_the_whole() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let path = format!("/files/{}/content", file.id);
    let whole = app.get(&path).await.ok();
    let tag = whole.header("etag").unwrap();
    for (condition, status, length) in [
        (tag, 206, 4),
        ("\"other\"", 200, whole.body.len()),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200, whole.body.len()),
    ] {
        let request = app.request(reqwest::Method::GET, &path);
        let answer = Answer::of(request.header("range", "bytes=0-3").header("if-range", condition)).await;
        assert_eq!((answer.status, answer.body.len()), (status, length), "{condition}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_download_name_of_a_hostile_title_is_harmless() {
    let app = TestApp::start().await;
    for (title, plain, name) in [
        (
            r#"a "quoted"; filename=evil.exe"#,
            "a _quoted_ filename=evil.exe-1.txt",
            "a _quoted_; filename=evil.exe.txt",
        ),
        ("../../etc/passwd", "_.._etc_passwd-2.txt", "_.._etc_passwd.txt"),
        (r"..\..\boot.ini", "_.._boot.ini-3.txt", "_.._boot.ini.txt"),
        ("😀 é", "file-4.txt", "😀 é.txt"),
        ("100% a*b'c", "100_ a_b'c-5.txt", "100% a_b'c.txt"),
        ("<script>", "_script_-6.txt", "_script_.txt"),
    ] {
        let file = app.completed_file(title).await;
        assert_eq!(file.title, title);
        let answer = app.content(file.id).await.ok();
        assert!(answer.text().contains(&format!("Title: {title}\n")));
        let disposition = answer.header("content-disposition").expect("a disposition");
        let start = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''");
        let encoded = disposition.strip_prefix(&start).unwrap_or_else(|| panic!("{disposition}"));
        assert!(
            encoded.bytes().all(|b| b.is_ascii_graphic() && !b"\"';,*/\\<>".contains(&b)),
            "{disposition}"
        );
        let query = format!("name={}", encoded.replace('+', "%2B"));
        let (_, decoded) = url::form_urlencoded::parse(query.as_bytes()).next().unwrap();
        assert_eq!(decoded, name);
    }
    app.stop().await;
}

#[tokio::test]
async fn content_that_was_altered_or_lost_in_the_store_is_never_handed_out() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    let [key] = app.ground.bucket.keys().await.try_into().unwrap();
    let mut as_long = app.ground.bucket.object(&key).await.to_vec();
    *as_long.last_mut().unwrap() ^= 1;
    for bytes in [b"something shorter".as_slice(), &as_long] {
        app.ground.bucket.put(&key, bytes).await;
        let altered = app.content(file.id).await;
        assert_eq!((altered.status, &altered.problem()["code"]), (500, &"object_altered".into()));
    }
    app.ground.bucket.remove(&key).await;
    let lost = app.content(file.id).await;
    assert_eq!((lost.status, &lost.problem()["code"]), (410, &"object_missing".into()));
    app.stop().await;
}

#[tokio::test]
async fn only_what_runs_nothing_is_shown_in_the_browser() {
    let app = TestApp::start().await;
    for (name, media_type, is_shown) in [
        ("a.png", "image/png", true),
        ("a.mp4", "video/mp4", true),
        ("a.pdf", "application/pdf", true),
        ("a.txt", "text/plain", true),
        ("a.html", "text/html", false),
        ("a.svg", "image/svg+xml", false),
        ("a.xml", "application/xml", false),
        ("a.js", "text/javascript", false),
        ("a.bin", "application/octet-stream", false),
    ] {
        let file = upload(&app, name, media_type, "content", &[]).await;
        // Its own bytes decide about the type elsewhere.
        let sql = format!("UPDATE files SET content_type = '{media_type}' WHERE id = {}", file.id);
        app.ground.database.connect().await.batch_execute(&sql).await.unwrap();
        for (query, shown) in [
            ("", false),
            ("?disposition=attachment&delivery=direct", false),
            ("?disposition=inline", is_shown),
            ("?delivery=direct&disposition=inline", is_shown),
        ] {
            let path = format!("/files/{}/content{query}", file.id);
            let answer = app.get(&path).await.ok();
            let start = if shown { "inline" } else { "attachment" };
            let disposition = format!("{start}; filename=\"{name}\"; filename*=UTF-8''{name}");
            assert_eq!(answer.header("content-disposition"), Some(&*disposition), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            let policy = answer.header("content-security-policy").unwrap();
            assert_eq!(policy.contains("default-src 'none'"), shown, "{media_type}: {policy}");
            assert!(!policy.contains("script-src"), "{policy}");
            assert_eq!(policy.contains("sandbox"), shown && media_type != "application/pdf", "{policy}");
            assert_eq!(answer.body, "content");
        }
        let path = format!("/files/{}/content?disposition=inline", file.id);
        let range = app.get_with(&path, "range", "bytes=1-3").await;
        assert_eq!((range.status, &*range.body), (206, &b"ont"[..]));
        let head = app.head(&path).await;
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("7"), 0));
    }
    let text = upload(&app, "t.txt", "text/plain", "é", &[]).await;
    let shown = app.get(&format!("/files/{}/content?disposition=inline", text.id)).await.ok();
    assert_eq!(shown.header("content-type"), Some("text/plain; charset=utf-8"));
    app.stop().await;
}

#[tokio::test]
async fn a_choice_that_does_not_exist_is_an_error() {
    let app = TestApp::start().await;
    let file = app.completed_file("a").await;
    for query in [
        "disposition=",
        "disposition=Inline",
        "disposition=form-data",
        "disposition=inline&disposition=inline",
        "delivery=",
        "delivery=proxy",
        "disposition=inline&delivery=%0d%0aX:1",
        "delivery=%ff",
    ] {
        let answer = app.get(&format!("/files/{}/content?{query}", file.id)).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (400, &"invalid_query".into()), "{query}");
    }
    assert_eq!(app.get(&format!("/files/{}/content?other=1", file.id)).await.status, 200);
    app.stop().await;
}

/// Asks without following a redirect.
async fn ask_for_address(app: &TestApp, path: &str) -> Answer {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    Answer::of(client.get(format!("{}{path}", app.base)).header("range", "bytes=0-0")).await
}

#[tokio::test]
async fn the_store_itself_hands_out_the_content_at_an_address_of_a_minute() {
    let app = TestApp::start().await;
    let file = upload(&app, "b\u{e9} c.txt", "text/plain", "content", &[]).await;
    let path = format!("/files/{}/content?delivery=redirect", file.id);
    let sent = ask_for_address(&app, &path).await;
    assert_eq!((sent.status, sent.header("cache-control")), (307, Some("private, no-store")));
    assert_eq!((sent.header("etag"), sent.body.len()), (None, 0));
    let address = sent.header("location").unwrap().to_owned();
    assert!(address.contains("X-Amz-Expires=60"), "{address}");
    let endpoint = app.ground.bucket.config.endpoint.clone().unwrap();
    assert!(address.starts_with(endpoint.trim_end_matches('/')), "{address}");

    let followed = Answer::of(Client::new().get(&address).header("range", "bytes=2-4")).await;
    assert_eq!((followed.status, &*followed.body), (206, &b"nte"[..]));
    assert_eq!(followed.header("content-type"), Some("text/plain; charset=utf-8"));
    let disposition = followed.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment;") && disposition.ends_with("UTF-8''b%C3%A9%20c.txt"));
    let shown = ask_for_address(&app, &format!("{path}&disposition=inline")).await;
    let shown = Answer::of(Client::new().get(shown.header("location").unwrap())).await.ok();
    assert!(shown.header("content-disposition").unwrap().starts_with("inline;"));

    // A signature is for one method: HEAD is answered here.
    let head = app.head(&path).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
    send(&app, reqwest::Method::DELETE, &format!("/files/{}", file.id)).await;
    assert_eq!(ask_for_address(&app, &path).await.status, 410);
    app.stop().await;
}

#[tokio::test]
async fn clients_are_sent_to_the_address_of_the_store_that_they_reach() {
    let app = TestApp::start_with(&[("S3_PUBLIC_ENDPOINT", "https://s3.example.org")]).await;
    let file = app.completed_file("a").await;
    let sent = ask_for_address(&app, &format!("/files/{}/content?delivery=redirect", file.id)).await;
    let address = sent.header("location").unwrap();
    assert!(address.starts_with("https://s3.example.org/"), "{address}");
    assert!(address.contains("response-content-disposition=attachment"), "{address}");
    app.stop().await;
}
