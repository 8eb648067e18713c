//! Downloads: the content or a range of it, under a safe name, and only if it is what was stored.

use std::time::Duration;

use filesys::domain::Status;

use crate::support::TestApp;

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
        let answer =
            crate::support::Answer::of(request.header("range", "bytes=0-3").header("if-range", condition))
                .await;
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
