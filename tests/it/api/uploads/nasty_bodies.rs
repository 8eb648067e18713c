//! Bodies and headers of uploads that break every rule: each gets a problem document or becomes a clean file.

use serde_json::Value;

use super::consistency::rows_and_objects_agree;
use super::nasty_names::clean_or_refused;
use crate::support::TestApp;
use crate::support::raw::Request;

const DATA: &[u8] = b"content of a form that is odd";
const TYPE: &str = "multipart/form-data; boundary=b0undary";

/// Name of the case, its request, and the content of the file if it may be taken.
type Form = (&'static str, Request, Option<Vec<u8>>);

fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", "/files").header("Content-Type", content_type).body(body)
}

/// Part with this head, without the boundary before it.
fn part(head: &str, content: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n\r\n", content].concat()
}

fn file(content: &[u8]) -> Vec<u8> {
    part("Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"", content)
}

fn field(name: &str, value: &[u8]) -> Vec<u8> {
    part(&format!("Content-Disposition: form-data; name=\"{name}\""), value)
}

/// Body of these parts, with all its boundaries.
fn body(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend(b"--b0undary\r\n");
        body.extend(part);
        body.extend(b"\r\n");
    }
    body.extend(b"--b0undary--\r\n");
    body
}

fn form(parts: &[Vec<u8>]) -> Request {
    post(TYPE, body(parts))
}

fn good() -> Vec<u8> {
    body(&[file(DATA)])
}

#[rustfmt::skip]
fn boundaries() -> Vec<Form> {
    let data = |content: &[u8]| ("the boundary in the data", form(&[file(content)]), Some(content.to_vec()));
    let taken = || Some(DATA.to_vec());
    let replaced = |from: &str, to: &str| String::from_utf8(good()).unwrap().replace(from, to);
    let long = "b".repeat(5000);
    vec![
        ("no boundary", post("multipart/form-data", good()), None),
        ("an empty boundary", post("multipart/form-data; boundary=", good()), None),
        ("an empty boundary in quotes", post("multipart/form-data; boundary=\"\"", good()), None),
        ("another boundary", post("multipart/form-data; boundary=other", good()), None),
        ("two boundaries", post("multipart/form-data; boundary=b0undary; boundary=other", good()), taken()),
        ("a boundary of 5,000 letters", post(&format!("multipart/form-data; boundary={long}"), replaced("b0undary", &long)), taken()),
        ("a boundary with a quote", post("multipart/form-data; boundary=\"a\\\"b\"", good()), None),
        ("a boundary in quotes", post("multipart/form-data; boundary=\"b0undary\"", good()), taken()),
        ("another kind of multipart", post("multipart/mixed; boundary=b0undary", good()), None),
        ("only a closing boundary", form(&[]), None),
        ("no bytes", post(TYPE, ""), None),
        ("no boundary in the body", post(TYPE, "hello"), None),
        ("no closing boundary", post(TYPE, replaced("\r\n--b0undary--\r\n", "")), None),
        ("half a closing boundary", post(TYPE, replaced("--b0undary--\r\n", "--b0undary-")), None),
        ("a closing boundary without a line break", post(TYPE, replaced("--b0undary--\r\n", "--b0undary--")), taken()),
        ("text before and behind", post(TYPE, [&b"preamble\r\n"[..], &good(), b"epilogue"].concat()), taken()),
        ("line feeds alone", post(TYPE, replaced("\r\n", "\n")), taken()),
        ("spaces behind the boundary", post(TYPE, replaced("--b0undary\r\n", "--b0undary  \r\n")), taken()),
        data(b"--b0undary"),
        data(b"\n--b0undary\n--b0undary--"),
        data(b"\r\n--b0undar\r\n-\r\n--\r\n"),
        data(b"\r\r\n\r\n\r\n--"),
        data(b""),
    ]
}

#[rustfmt::skip]
fn parts() -> Vec<Form> {
    let taken = || Some(DATA.to_vec());
    let headers = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<Vec<_>>().concat();
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"";
    let with = |name: &str, value: &[u8]| form(&[field(name, value), file(DATA)]);
    vec![
        ("10,000 fields", form(&[vec![field("title", b"a"); 10_000], vec![file(DATA)]].concat()), None),
        ("10,000 unknown fields", form(&[vec![field("x", b"a"); 10_000], vec![file(DATA)]].concat()), None),
        ("10,000 files", form(&vec![file(b""); 10_000]), None),
        ("10,000 tags", form(&[vec![field("tags", b"a"); 10_000], vec![file(DATA)]].concat()), None),
        ("10,000 headers", form(&[part(&format!("{}{disposition}", headers(10_000)), DATA)]), None),
        ("a header of a mebibyte", form(&[part(&format!("X: {}\r\n{disposition}", "y".repeat(1 << 20)), DATA)]), None),
        ("a head without an end", post(TYPE, format!("--b0undary\r\n{}", headers(100_000))), None),
        ("no head", form(&[[b"\r\n", DATA].concat()]), None),
        ("a part without a name", form(&[part("Content-Disposition: form-data; filename=\"a.txt\"", DATA)]), None),
        ("an empty name", form(&[part("Content-Disposition: form-data; name=\"\"; filename=\"a.txt\"", DATA)]), None),
        ("no file", form(&[field("title", b"a")]), None),
        ("a file by another name", form(&[part("Content-Disposition: form-data; name=\"upload\"; filename=\"a.txt\"", DATA)]), None),
        ("a form in a form", form(&[part(&format!("{disposition}\r\nContent-Type: multipart/mixed; boundary=inner"), b"--inner\r\n\r\na\r\n--inner--")]),
            Some(b"--inner\r\n\r\na\r\n--inner--".to_vec())),
        ("an encoding of a part", form(&[part(&format!("{disposition}\r\nContent-Transfer-Encoding: base64"), DATA)]), taken()),
        ("a length of a part", form(&[part(&format!("{disposition}\r\nContent-Length: 3"), DATA)]), Some(b"con".to_vec())),
        ("a negative length of a part", form(&[part(&format!("{disposition}\r\nContent-Length: -3"), DATA)]), taken()),
        ("a field behind the file", form(&[file(DATA), field("title", b"a")]), taken()),
        ("a title twice", form(&[field("title", b"a"), field("title", b"b"), file(DATA)]), taken()),
        ("a title of ten mebibytes", with("title", &vec![b'a'; 10 << 20]), None),
        ("a title of 300 letters", with("title", &[b'a'; 300]), None),
        ("a title in Latin-1", with("title", b"caf\xe9"), None),
        ("NUL in a title", with("title", b"a\0b"), None),
        ("NUL in a tag", with("tags", b"a\0b"), None),
        ("a tag of ten thousand letters", with("tags", &[b'a'; 10_000]), None),
        ("a folder that goes up", with("folder", b"../../etc"), taken()),
        ("NUL in a folder", with("folder", b"a\0b"), None),
        ("a related post of ten thousand letters", with("related_post_id", &[b'1'; 10_000]), None),
        ("a digest that is none", with("sha256", b"zz"), None),
        ("the digest of something else", with("sha256", "0a".repeat(32).as_bytes()), None),
    ]
}

#[rustfmt::skip]
fn requests() -> Vec<Form> {
    let taken = || Some(DATA.to_vec());
    let with = |name: &str, value: &str| post(TYPE, good()).header(name, value);
    let chunks = |text: &str| post(TYPE, text.as_bytes()).header("Transfer-Encoding", "chunked");
    let bytes = good().iter().map(|byte| format!("1\r\n{}\r\n", char::from(*byte))).collect::<Vec<_>>().concat();
    vec![
        ("a length of 8 exbibytes", with("Content-Length", "9223372036854775807"), taken()),
        ("a length of six gibibytes", with("Content-Length", "6442450944"), taken()),
        ("a length that is never reached", with("Content-Length", "100000"), taken()),
        ("a length that cuts the end", with("Content-Length", &(good().len() - 5).to_string()), None),
        ("chunks of one byte", chunks(&format!("{bytes}0\r\n\r\n")), taken()),
        ("chunks without an end", chunks(&bytes), taken()),
        ("a chunk with a wrong length", chunks("zz\r\n--b0undary\r\n0\r\n\r\n"), None),
        ("gzip that is none", with("Content-Encoding", "gzip"), None),
        ("an encoding nobody knows", with("Content-Encoding", "what"), None),
        ("a digest of another algorithm", with("Content-Digest", "md5=:AAAA:"), taken()),
        ("a digest that can't be read", with("Content-Digest", "sha-256=nothing"), taken()),
        ("a digest of something else", with("Content-Digest", &format!("sha-256=:{}:", "A".repeat(43) + "=")), taken()),
        ("a key of 10,000 letters", with("Idempotency-Key", &"k".repeat(10_000)), taken()),
        ("a range of an upload", with("Content-Range", "bytes 0-5/100"), taken()),
    ]
}

#[tokio::test]
async fn sixty_nasty_forms_and_more_become_clean_files_or_are_refused() {
    let app = TestApp::start().await;
    let cases = [boundaries(), parts(), requests()].concat();
    assert!(cases.len() >= 60, "{}", cases.len());
    for (what, request, taken) in cases {
        // Shown only when this fails.
        eprintln!("{what}");
        let Some(answer) = request.send(app.address()).await else {
            // A client that announced more than it sent has gone.
            assert!(what.starts_with("a length") || what.starts_with("chunks without"), "{what}: no answer");
            continue;
        };
        let made = clean_or_refused(&app, &answer, taken.as_deref().unwrap_or_default()).await;
        assert!(made.is_none() || taken.is_some(), "{what}: {}", answer.text());
    }
    assert_eq!(app.get("/livez").await.status, 200);
    rows_and_objects_agree(&app).await;
    app.stop().await;
}

/// Several files in one form, of which a later one is refused.
#[tokio::test]
async fn a_form_that_breaks_off_leaves_whole_files_or_none() {
    let app = TestApp::start().await;
    let broken =
        [body(&[file(DATA), file(DATA)]).strip_suffix(b"\r\n--b0undary--\r\n").unwrap(), b""].concat();
    for (what, request) in [
        ("the second file is cut", post(TYPE, broken.clone())),
        ("the client goes away in the second file", post(TYPE, broken).header("Content-Length", "100000")),
        ("the second part has no name", form(&[file(DATA), part("Content-Disposition: form-data", DATA)])),
    ] {
        eprintln!("{what}");
        if let Some(answer) = request.send(app.address()).await {
            assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
            answer.problem();
        }
    }
    rows_and_objects_agree(&app).await;
    for made in app.get("/files?status=completed").await.ok().json::<Vec<Value>>() {
        assert_eq!(app.get(&format!("/files/{}/content", made["id"])).await.ok().body, DATA);
    }
    app.stop().await;
}
