//! `POST /files` as `multipart/form-data`: one request, one file or several.

use filesys::domain::{File, FileOrigin, FileType, Status};
use reqwest::Method;

use crate::support::client::Answer;
use crate::support::{TestApp, eventually, holds};

/// Part of a form: name, name of the file if it is one, and bytes.
type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

const BOUNDARY: &str = "----filesys-test-boundary";

/// Writes a form as browsers do.
fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, bytes) in parts {
        let file_name = file_name.map(|file_name| format!("; filename=\"{file_name}\"")).unwrap_or_default();
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn post(app: &TestApp, parts: &[Part<'_>]) -> Answer {
    let request = app
        .request(Method::POST, "/files")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(form(parts));
    Answer::of(request).await
}

/// Bytes without a pattern that a part could be mistaken for.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[tokio::test]
async fn a_file_of_any_size_is_stored_whole_with_its_fields() {
    let app = TestApp::start().await;
    for size in [0, 1, 10_240, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, (20 << 20) + 7] {
        let content = bytes(size);
        let parts = [
            ("title", None, &b"A photo"[..]),
            ("tags", None, b"summer, 2026"),
            ("file", Some("IMG 1.bin"), &content),
            ("folder", None, b"/holidays/"),
        ];
        let answer = post(&app, &parts).await;
        assert_eq!(answer.status, 201, "{size}: {}", answer.text());
        let file: File = answer.json();
        assert_eq!(answer.header("location"), Some(format!("/files/{}", file.id).as_str()));
        assert_eq!((file.status, file.size), (Status::Completed, i64::try_from(size).ok()));
        let about = &file.attributes;
        assert_eq!((file.title.as_str(), about.folder.as_deref()), ("A photo", Some("holidays")), "{size}");
        assert_eq!(about.tags, ["summer", "2026"]);
        assert_eq!((about.origin, about.file_name.as_deref()), (FileOrigin::Uploaded, Some("IMG 1.bin")));
        let key = format!("s3://{}/uploads/anonymous/{}/img_1.bin", app.ground.bucket.name(), file.id);
        assert_eq!(file.s3_location, Some(key));
        let stored = app.content(file.id).await.ok();
        assert!(stored.body == content, "{size} bytes are those that were sent");
        let steps: Vec<Status> = app.timeline(file.id).await.into_iter().map(|entry| entry.to).collect();
        assert_eq!(steps, [Status::Uploading, Status::Completed]);
    }
    app.stop().await;
}

#[tokio::test]
async fn several_files_of_one_form_are_answered_in_their_order() {
    let app = TestApp::start().await;
    let parts = [
        ("uploaded_by", None, &b"alice"[..]),
        ("file", Some("a.txt"), b"first"),
        ("file", Some("b.txt"), b"second"),
        ("file", Some("c.txt"), b""),
    ];
    let files: Vec<File> = post(&app, &parts).await.json();
    let names: Vec<_> = files.iter().map(|file| file.attributes.file_name.clone().unwrap()).collect();
    assert_eq!(names, ["a.txt", "b.txt", "c.txt"]);
    for (file, content) in files.iter().zip([&b"first"[..], b"second", b""]) {
        assert_eq!(file.attributes.uploaded_by.as_deref(), Some("alice"));
        assert_eq!(file.file_type(), FileType::Text);
        assert_eq!(app.content(file.id).await.ok().body, content);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_breaks_a_rule_is_refused_and_leaves_no_object() {
    let app = TestApp::start().await;
    let wrong = "0".repeat(64);
    let content = bytes(9 << 20);
    for (parts, status, code) in [
        (vec![("title", None, &b"no file"[..])], 400, "malformed_request"),
        (vec![("title", None, b"\x00"), ("file", Some("a"), b"x")], 422, "validation_failed"),
        (vec![("sha256", None, b"abc"), ("file", Some("a"), b"x")], 422, "validation_failed"),
        (vec![("file", Some("a"), b"x"), ("sha256", None, wrong.as_bytes())], 422, "digest_mismatch"),
        (vec![("sha256", None, wrong.as_bytes()), ("file", Some("a"), &content)], 422, "digest_mismatch"),
    ] {
        let answer = post(&app, &parts).await;
        assert_eq!(
            (answer.status, answer.problem()["code"].as_str()),
            (status, Some(code)),
            "{}",
            answer.text()
        );
    }
    nothing_is_left(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_failed_file_and_no_object() {
    let app = TestApp::start().await;
    let body = form(&[("file", Some("big.bin"), &bytes(20 << 20))]);
    let host = app.api.address().trim_start_matches("http://");
    // The head announces all of it; the connection ends in the middle of the second part of the store's upload.
    let head = format!(
        "POST /files HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
         Content-Length: {}\r\n\r\n",
        host,
        body.len()
    );
    let mut connection = tokio::net::TcpStream::connect(host).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, &body[..11 << 20]).await.unwrap();
    drop(connection);
    let failed = eventually("the upload fails", async || {
        let files = app.all_files("/files").await;
        let failed = files.into_iter().find(|file| file.status == Status::Failed);
        failed.ok_or_else(|| "no failed file".to_owned())
    })
    .await;
    let error = failed.error.unwrap();
    assert!(error.starts_with("the request was cut off after "), "{error}");
    nothing_is_left(&app).await;
    app.stop().await;
}

/// Waits until neither rows nor objects of uploads that ended are left.
async fn nothing_is_left(app: &TestApp) {
    let database = app.ground.database.connect().await;
    let left = "SELECT (SELECT count(*) FROM uploads), (SELECT count(*) FROM object_removals)";
    eventually("nothing is left", async || {
        let row = database.query_one(left, &[]).await.unwrap();
        let (unfinished, removals): (i64, i64) = (row.get(0), row.get(1));
        let objects = app.ground.bucket.keys().await;
        holds((unfinished, removals, objects.len()) == (0, 0, 0), (unfinished, removals, objects))
    })
    .await;
}
