//! Bad input of every kind: the answer is a 4xx that says what is wrong, never a 5xx, and the server goes on.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::TestApp;
use crate::support::raw::{Request, exchange};

/// Name of the mistake, the request, and the status and code of the answer.
type Case = (&'static str, Request, u16, &'static str);

#[tokio::test]
async fn sixty_bad_requests_and_more_get_a_problem_document_each() {
    let app = TestApp::start().await;
    let file = app.completed_file("bystander").await;
    let cases: Vec<Case> = [bodies(), encodings(), sizes(), ids(), queries(), paths()].concat();
    assert!(cases.len() >= 60, "{}", cases.len());
    for (name, request, status, code) in cases {
        // Shown only when this fails.
        eprintln!("{name}");
        let answer = request.send(app.address()).await;
        let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let problem = answer.problem();
        assert_eq!(problem["code"], code, "{name}");
        assert!(!problem["detail"].to_string().contains("kind:"), "{name}: for people, {problem}");
    }
    assert_eq!(app.file(file.id).await, file);
    assert_eq!(app.stats().await.total, 1);
    app.stop().await;
}

fn text(body: &str) -> Request {
    Request::create(body)
}

#[rustfmt::skip]
fn bodies() -> Vec<Case> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let title = |title: &str| text(&format!(r#"{{"title":{title}}}"#));
    vec![
        ("no body", Request::create(""), 400, "malformed_json"),
        ("white space", text("  "), 400, "malformed_json"),
        ("not JSON", text("title=a"), 400, "malformed_json"),
        ("half an object", text(r#"{"title":"a""#), 400, "malformed_json"),
        ("more than one value", text(r#"{"title":"a"}{"title":"b"}"#), 400, "malformed_json"),
        ("a trailing comma", text(r#"{"title":"a",}"#), 400, "malformed_json"),
        ("an array", text("[]"), 400, "malformed_json"),
        ("a string", text(r#""title""#), 400, "malformed_json"),
        ("null", text("null"), 400, "malformed_json"),
        ("a member twice", text(r#"{"title":"a","title":"b"}"#), 400, "malformed_json"),
        ("a member twice, once escaped", text(r#"{"title":"a","\u0074itle":"b"}"#), 400, "malformed_json"),
        ("an unpaired surrogate", title(r#""\ud800""#), 400, "malformed_json"),
        ("surrogates the wrong way round", title(r#""\udc00\ud800""#), 400, "malformed_json"),
        ("a line break in a string", title("\"a\nb\""), 400, "malformed_json"),
        ("two byte order marks", text("\u{feff}\u{feff}{\"title\":\"a\"}"), 400, "malformed_json"),
        ("UTF-16", Request::create(b"\xff\xfe{\0}\0".as_slice()), 400, "malformed_json"),
        ("a title of a zero width space", title(r#""\u200b""#), 422, "validation_failed"),
        ("a title of fillers", title(r#""\u3164\u2800\u00ad\ufe0f""#), 422, "validation_failed"),
        ("a title of a mark alone", title(r#""\u0301""#), 422, "validation_failed"),
        ("arrays 10,000 deep", title(&deep("[", "]")), 400, "malformed_json"),
        ("objects 10,000 deep", title(&deep(r#"{"a":"#, "}").replace(":}", ":1}")), 400, "malformed_json"),
        ("only openings", text(&"[".repeat(100_000)), 400, "malformed_json"),
        ("no title", text("{}"), 422, "validation_failed"),
        ("title null", title("null"), 422, "validation_failed"),
        ("title empty", title(r#""""#), 422, "validation_failed"),
        ("title of white space", title(r#"" \t\u00a0""#), 422, "validation_failed"),
        ("title a number", title("1"), 422, "validation_failed"),
        ("title an enormous number", title("1e400"), 400, "malformed_json"),
        ("title true", title("true"), 422, "validation_failed"),
        ("title an array", title(r#"["a"]"#), 422, "validation_failed"),
        ("title an object", title(r#"{"a":1}"#), 422, "validation_failed"),
        ("title too long", title(&json!("a".repeat(256)).to_string()), 422, "validation_failed"),
        ("U+0000 in the title", title(r#""a\u0000b""#), 422, "validation_failed"),
        ("CR LF in the title", title(r#""a\r\nSet-Cookie: b""#), 422, "validation_failed"),
        ("a C1 control in the title", title(r#""a\u0085b""#), 422, "validation_failed"),
        ("a description that is a number", text(r#"{"title":"a","description":1}"#), 422, "validation_failed"),
        ("U+0000 in the description", text(r#"{"title":"a","description":"\u0000"}"#), 422, "validation_failed"),
        ("an unknown format", text(r#"{"title":"a","format":"exe"}"#), 422, "validation_failed"),
        ("a format that is a number", text(r#"{"title":"a","format":1}"#), 422, "validation_failed"),
    ]
}

#[rustfmt::skip]
fn encodings() -> Vec<Case> {
    let good = r#"{"title":"a"}"#;
    let post = |content_type: &str| {
        Request::new("POST", "/files")
            .header("Content-Type", content_type)
            .body(good)
    };
    let packed = |coding: &str, body: Vec<u8>| Request::create(body).header("Content-Encoding", coding);
    vec![
        ("no content type", Request::new("POST", "/files").body(good), 415, "unsupported_media_type"),
        ("an empty content type", post(""), 415, "unsupported_media_type"),
        ("plain text", post("text/plain"), 415, "unsupported_media_type"),
        ("a form", post("application/x-www-form-urlencoded"), 415, "unsupported_media_type"),
        ("no media type", post("application/"), 415, "unsupported_media_type"),
        ("two content types", post("application/json").header("Content-Type", "text/plain"), 415, "unsupported_media_type"),
        ("invalid UTF-8", Request::create(b"{\"title\":\"\xff\xfe\"}"), 400, "malformed_json"),
        ("an overlong NUL", Request::create(b"{\"title\":\"\xc0\x80\"}"), 400, "malformed_json"),
        ("UTF-16", Request::create("{\0\"\0t\0"), 400, "malformed_json"),
        ("gzip that is none", packed("gzip", b"not gzip at all".to_vec()), 400, "malformed_request"),
        ("gzip that is cut off", packed("gzip", gzip(1000)[..20].to_vec()), 400, "malformed_request"),
        ("deflate that is none", packed("deflate", vec![0xff; 300]), 400, "malformed_request"),
        ("a gzip bomb", packed("gzip", gzip(64 << 20)), 413, "body_too_large"),
    ]
}

/// Compresses `{"title":"aaa…` with this number of `a`.
fn gzip(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"{\"title\":\"").unwrap();
    let piece = vec![b'a'; 1 << 16];
    for start in (0..bytes).step_by(piece.len()) {
        encoder.write_all(&piece[..piece.len().min(bytes - start)]).unwrap();
    }
    encoder.finish().unwrap()
}

#[rustfmt::skip]
fn sizes() -> Vec<Case> {
    let description = |length: usize| json!({"title": "a", "description": "d".repeat(length)}).to_string();
    let long = "0".repeat(60_000);
    vec![
        ("a description too long", text(&description(64 * 1024 + 1)), 422, "validation_failed"),
        ("a body too long", text(&description(512 * 1024)), 413, "body_too_large"),
        ("a body said to be too long", text("").header("Content-Length", "600000"), 413, "body_too_large"),
        ("a body of 8 exbibytes", text("").header("Content-Length", "9223372036854775807"), 413, "body_too_large"),
        ("a body shorter than said", text("{\"title\":\"a\"}").header("Content-Length", "20"), 400, "malformed_request"),
        ("chunks that end too early", text("5\r\n{\"tit\r\n").header("Transfer-Encoding", "chunked"), 400, "malformed_request"),
        ("a chunk with a wrong length", text("zz\r\n{}\r\n0\r\n\r\n").header("Transfer-Encoding", "chunked"), 400, "malformed_request"),
        ("a very long id", Request::get(format!("/files/{long}")), 400, "invalid_file_id"),
        ("a very long search", Request::get(format!("/files?q={long}")), 400, "invalid_query"),
        ("a very long cursor", Request::get(format!("/files?cursor={long}")), 400, "invalid_cursor"),
    ]
}

#[rustfmt::skip]
fn ids() -> Vec<Case> {
    let mut cases = Vec::new();
    for id in [
        "-1",
        "0",
        "01",
        "+1",
        "1.0",
        "1e3",
        "0x1",
        "abc",
        "null",
        "%31%00",
        "%20",
        "1%2F2",
        "%ff",
        "%F0%9F%98%80",
        "9223372036854775808",
        "99999999999999999999999",
        "1;drop",
        "..%2f..",
        "'%20OR%201=1",
    ] {
        cases.push((
            "an id that is none",
            Request::get(format!("/files/{id}")),
            400,
            "invalid_file_id",
        ));
    }
    cases.extend([
        ("an id nobody has", Request::get("/files/9223372036854775807"), 404, "file_not_found"),
        ("content of nothing", Request::get("/files/9223372036854775807/content"), 404, "file_not_found"),
        ("the timeline of nothing", Request::get("/files/9223372036854775807/timeline"), 404, "file_not_found"),
        ("content of no id", Request::get("/files/x/content"), 400, "invalid_file_id"),
        ("the timeline of no id", Request::get("/files/-7/timeline"), 400, "invalid_file_id"),
    ]);
    cases
}

#[rustfmt::skip]
fn queries() -> Vec<Case> {
    let list = |query: &str| Request::get(format!("/files?{query}"));
    let mut cases = Vec::new();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=1000000000",
        "limit=99999999999999999999",
        "limit=1e9",
        "limit=ten",
        "limit=",
        "limit=5&limit=6",
        "status=done",
        "status=Completed",
        "status=pending,failed",
        "status=%00",
        "q=%00",
        "q=caf%E9",
        "q=%ED%A0%80",
        "other=%FF",
    ] {
        cases.push(("a query out of bounds", list(query), 400, "invalid_query"));
    }
    // The third is base64 of `files:-1`, the fourth of `files:1; DROP`.
    for cursor in [
        "forged",
        "0",
        "ZmlsZXM6LTE",
        "ZmlsZXM6MTsgRFJPUA",
        "%00",
        "ZmlsZXM6MQ==",
        "",
    ] {
        cases.push((
            "a forged cursor",
            list(&format!("limit=5&cursor={cursor}")),
            400,
            "invalid_cursor",
        ));
    }
    cases
}

#[rustfmt::skip]
fn paths() -> Vec<Case> {
    let json = |request: Request| request.header("Accept", "application/json");
    let form = |body: &str| json(Request::new("POST", "/ui/files").header("Content-Type", "application/x-www-form-urlencoded").body(body));
    let mut cases = vec![
        ("nothing there", Request::get("/nothing"), 404, "not_found"),
        ("a slash too many", Request::get("/files/"), 404, "not_found"),
        ("two slashes", Request::get("//files"), 404, "not_found"),
        ("below a file", Request::get("/files/1/nothing"), 404, "not_found"),
        ("up and out", Request::get("/../../etc/passwd"), 404, "not_found"),
        ("up and out, escaped", Request::get("/assets/..%2f..%2fetc%2fpasswd"), 404, "asset_not_found"),
        ("no such asset", Request::get("/assets/app.css"), 404, "asset_not_found"),
        ("no page of that file", json(Request::get("/ui/files/9223372036854775807")), 404, "file_not_found"),
        ("no page of that id", json(Request::get("/ui/files/abc")), 400, "invalid_file_id"),
        ("a form in Latin-1", form("title=caf%E9"), 400, "malformed_form"),
        ("a form of half a character", form("title=%C3"), 400, "malformed_form"),
        ("a form with a field twice", form("title=a&title=b"), 400, "malformed_form"),
        ("a form said to be in Latin-1", json(Request::new("POST", "/ui/files").header("Content-Type", "application/x-www-form-urlencoded; charset=iso-8859-1").body("title=a")), 415, "unsupported_media_type"),
        ("a form that is JSON", json(Request::new("POST", "/ui/files").body("{}")), 415, "unsupported_media_type"),
    ];
    for (method, path) in [
        ("PUT", "/files"),
        ("DELETE", "/files"),
        ("PUT", "/files/1"),
        ("POST", "/files/1"),
        ("POST", "/files/1/content"),
        ("OPTIONS", "/files"),
        ("TRACE", "/files"),
        ("BREW", "/files"),
        ("get", "/files"),
        ("POST", "/livez"),
        ("DELETE", "/files/stats"),
        ("POST", "/"),
        ("PUT", "/ui/files"),
    ] {
        cases.push((
            "a method it doesn't have",
            json(Request::new(method, path)),
            405,
            "method_not_allowed",
        ));
    }
    cases
}

/// Sends what can't be parsed as HTTP: it gets no problem document, and its connection ends with or without a bare 4xx.
#[tokio::test]
async fn what_is_not_http_ends_its_own_connection_and_nothing_else() {
    let app = TestApp::start().await;
    let many_headers = format!("GET /livez HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(5000));
    let long_header = format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("half a line", b"GET /liv"),
        ("noise", b"\x00\x01\x02\xff\xfe\r\n\r\n"),
        ("an address that is no text", b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("no version", b"GET /livez\r\n\r\n"),
        ("a version to come", b"GET /livez HTTP/9.9\r\nHost: a\r\n\r\n"),
        ("a header without a name", b"GET /livez HTTP/1.1\r\n: a\r\n\r\n"),
        ("a NUL in a header", b"GET /livez HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
        ("two lengths", b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ("a negative length", b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        ("a length that is no number", b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n"),
        ("a length and chunks", b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("5,000 headers", many_headers.as_bytes()),
        ("a header of a mebibyte", long_header.as_bytes()),
    ] {
        if let Some(answer) = exchange(app.address(), bytes).await {
            assert!((400..500).contains(&answer.status), "{name}: {}", answer.status);
        }
        assert_eq!(app.get("/livez").await.status, 200, "after {name}");
    }
    assert_eq!(app.stats().await.total, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_method_names_those_that_are_there() {
    let app = TestApp::start().await;
    for (method, path, allow) in [
        ("DELETE", "/files", "GET, HEAD, POST"),
        ("PUT", "/files/1", "GET, HEAD, PATCH, DELETE"),
        ("GET", "/files/1/cancel", "POST"),
        ("POST", "/files/1/content", "GET, HEAD"),
    ] {
        let answer = Request::new(method, path).send(app.address()).await.unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_broken_rule_of_a_body_is_pointed_at() {
    let app = TestApp::start().await;
    let answer = app.post(&json!({"title": "", "description": "\u{0}", "format": "exe"})).await;
    assert_eq!(answer.status, 422);
    let errors = answer.problem()["errors"].clone();
    let pointers: Vec<_> = errors
        .as_array()
        .expect("a list of errors")
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/title", "/description", "/format"]);
    app.stop().await;
}
