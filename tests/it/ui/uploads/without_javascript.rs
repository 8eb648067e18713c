//! Uploads by the form alone, and what is said when one is refused.

use filesys::domain::FileId;
use reqwest::Method;

use super::content;
use crate::support::{Answer, TestApp};
use crate::ui::visitor::Visitor;

const BOUNDARY: &str = "----boundary-of-the-form";

/// Part of a form: its name, the name of its file if it is one, its bytes.
type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// Parts and headers that are refused, and what is said about them.
type Case<'a> = (&'a [Part<'a>], &'a [(&'a str, &'a str)], &'a str);

/// Encodes a form as browsers do.
fn encode(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, bytes) in parts {
        let file = file_name.map(|name| {
            let media_type =
                if name.contains(".pdf") { "application/pdf" } else { "application/octet-stream" };
            format!("; filename=\"{name}\"\r\nContent-Type: {media_type}")
        });
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{}\r\n\r\n",
            file.unwrap_or_default()
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn send(visitor: &Visitor<'_>, parts: &[Part<'_>], headers: &[(&str, &str)]) -> Answer {
    let request = visitor.app.request(Method::POST, "/ui/uploads").header("cookie", &visitor.cookie);
    let request = request.header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(request.body(encode(parts))).await
}

#[tokio::test]
async fn files_are_uploaded_by_the_form_alone_and_shown_with_what_was_typed() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let token: Part<'_> = ("csrf_token", None, visitor.token.as_bytes());
    let page = app.get("/").await.ok().text();
    assert!(
        page.contains("action=\"/ui/uploads\" method=\"post\" enctype=\"multipart/form-data\""),
        "{page}"
    );

    let bytes = [b"%PDF-1.4\n".as_slice(), &content(100_000)].concat();
    let report: [Part<'_>; 6] = [
        token,
        ("title", None, b"Report of the year"),
        ("folder", None, b"reports/2026"),
        ("tags", None, "é, <b>".as_bytes()),
        ("description", None, b""),
        ("file", Some("r\u{e9}port.pdf"), &bytes),
    ];
    let sent = send(&visitor, &report, &[]).await;
    assert_eq!((sent.status, sent.header("location")), (303, Some("/ui/files/1")), "{}", sent.text());
    let file = app.file(FileId(1)).await;
    assert_eq!(app.content(FileId(1)).await.ok().body, bytes);
    let page = app.get("/ui/files/1").await.ok().text();
    for part in [
        ">Report of the year</h1>",
        "<bdi>r\u{e9}port.pdf</bdi>",
        "<bdi>reports/2026</bdi>",
        "<li><bdi>é</bdi></li><li><bdi>&#60;b&#62;</bdi></li>",
        "<dd>Document<span class=\"exact\">application/pdf</span>",
        file.sha256.as_deref().unwrap(),
        "id=\"delete\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("id=\"retry\""), "{page}");

    let two: [Part<'_>; 3] = [token, ("file", Some("a.txt"), b"a"), ("file", Some("empty.txt"), b"")];
    let sent = send(&visitor, &two, &[]).await;
    assert_eq!((sent.status, sent.header("location")), (303, Some("/?uploaded=2")), "{}", sent.text());
    let list = app.get("/?uploaded=2").await.ok().text();
    for part in [
        "2 files were uploaded.",
        ">a.txt</a>",
        ">empty.txt</a>",
        "r\u{e9}port.pdf</p>",
        "<bdi>&#60;b&#62;</bdi>",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_upload_that_may_be_of_another_site_is_refused_before_a_byte_is_stored() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let token: Part<'_> = ("csrf_token", None, visitor.token.as_bytes());
    let tags = ("tags", None, b"kept".as_slice());
    let file = ("file", Some("a.txt"), b"bytes".as_slice());
    let cases: [Case<'_>; 4] = [
        (&[tags, file], &[], "not the one of this browser"),
        (&[tags, ("csrf_token", None, b"x"), file], &[], "not the one of this browser"),
        // What protects a form has to come before what it protects.
        (&[tags, file, token], &[], "not the one of this browser"),
        (&[token, tags, file], &[("sec-fetch-site", "cross-site")], "page of another site"),
    ];
    for (parts, headers, why) in cases {
        let refused = send(&visitor, parts, headers).await;
        let text = refused.text();
        assert!(refused.status == 403 && text.contains(why), "{why}: {} {text}", refused.status);
        assert!(text.contains("Nothing was uploaded") && text.contains("value=\"kept\""), "{text}");
    }
    assert_eq!(app.stats().await.total, 0);
    assert_eq!(send(&visitor, &[file], &[("sec-fetch-site", "same-origin")]).await.status, 303);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_upload_says_why_and_what_to_do() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app).await;
    let token: Part<'_> = ("csrf_token", None, visitor.token.as_bytes());
    let long = "long".repeat(100);
    let not_chosen = ("file", Some(""), b"".as_slice());
    let cases: [(&[Part<'_>], u16, &[&str]); 2] = [
        (
            &[token, ("title", None, b"kept"), not_chosen],
            400,
            &["No file was chosen.", "value=\"kept\"", "Choose your files"],
        ),
        (
            &[token, ("tags", None, long.as_bytes()), ("file", Some("a"), b"1")],
            422,
            &[
                "<a href=\"#upload-tags\">",
                "aria-invalid=\"true\" aria-describedby=\"upload-tags-error\"",
                &long,
            ],
        ),
    ];
    for (parts, status, words) in cases {
        let refused = send(&visitor, parts, &[]).await;
        let text = refused.text();
        assert_eq!(refused.status, status, "{text}");
        assert!(
            text.contains("<title>Not uploaded: Files") && text.contains("id=\"upload-summary\""),
            "{text}"
        );
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    assert_eq!(app.stats().await.total, 0);
    let again = app.get("/ui/uploads").await;
    assert_eq!((again.status, again.header("location")), (303, Some("/")));
    let no_form = app.request(Method::POST, "/ui/uploads").header("cookie", &visitor.cookie).body("x");
    assert_eq!(Answer::of(no_form).await.status, 400);
    app.stop().await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_those_before_it_are_stored() {
    let app = TestApp::start_with(&[("UPLOAD_MAX_SIZE", "100000")]).await;
    let visitor = Visitor::new(&app).await;
    let token: Part<'_> = ("csrf_token", None, visitor.token.as_bytes());
    let large = content(100_001);
    let alone: [Part<'_>; 2] = [token, ("file", Some("large"), &large)];
    let second: [Part<'_>; 3] = [token, ("file", Some("small"), b"1"), ("file", Some("large"), &large)];
    for (parts, words) in [
        (alone.as_slice(), ["Nothing was uploaded", "An upload may have at most 100000 bytes."]),
        (second.as_slice(), ["Not everything was uploaded", "The first file is stored."]),
    ] {
        let refused = send(&visitor, parts, &[]).await;
        let text = refused.text();
        assert_eq!(refused.status, 413, "{text}");
        assert!(text.contains("of up to 100.0 kB each"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let (files, _) = app.page("/files?status=completed").await;
    assert_eq!(files.iter().map(|file| file.title.as_str()).collect::<Vec<_>>(), ["small"]);
    app.stop().await;
}
