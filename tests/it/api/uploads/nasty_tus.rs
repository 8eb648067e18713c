//! Requests of the tus protocol that lie or make no sense: each gets a problem document, and the upload stays as it was.

use super::consistency::rows_and_objects_agree;
use crate::support::raw::Request;
use crate::support::{Answer, TestApp};

const OCTETS: &str = "application/offset+octet-stream";
/// Length of the upload that PATCH requests are sent to, of which [`STORED`] is there.
const LENGTH: usize = 20;
const STORED: &[u8] = b"eleven byte";

fn tus(method: &str, target: &str) -> Request {
    Request::new(method, target).header("Tus-Resumable", "1.0.0")
}

/// Begins an upload with `Upload-Length: 20`.
fn create() -> Request {
    tus("POST", "/uploads").header("Upload-Length", LENGTH.to_string())
}

#[rustfmt::skip]
fn creations() -> Vec<(&'static str, Request)> {
    let length = |text: &str| tus("POST", "/uploads").header("Upload-Length", text);
    let metadata = |text: &str| create().header("Upload-Metadata", text);
    let mut cases = vec![
        ("no version", Request::new("POST", "/uploads").header("Upload-Length", "20")),
        ("an old version", Request::new("POST", "/uploads").header("Tus-Resumable", "0.2.2").header("Upload-Length", "20")),
        ("two versions", create().header("Tus-Resumable", "2.0.0")),
        ("no length", tus("POST", "/uploads")),
        ("two lengths", create().header("Upload-Length", "21")),
        ("a length and a later one", create().header("Upload-Defer-Length", "1")),
        ("a later length that is none", tus("POST", "/uploads").header("Upload-Defer-Length", "2")),
        ("a final upload of nothing", tus("POST", "/uploads").header("Upload-Concat", "final;/uploads/999999999")),
        ("a final upload of addresses elsewhere", tus("POST", "/uploads").header("Upload-Concat", "final;http://127.0.0.1:1/a")),
        ("metadata that is no base64", metadata("filename !!!")),
        ("metadata without a key", metadata(" YQ==")),
        ("metadata of commas", metadata(",,,")),
        ("metadata with a key twice", metadata("filename YQ==,filename Yg==")),
        ("metadata with three words", metadata("filename YQ== Yg==")),
        ("a title of NUL", metadata("title AA==")),
        ("a title of invalid UTF-8", metadata("title //8=")),
        ("a title of 6,000 letters", metadata(&format!("title {}", "YWFh".repeat(2_000)))),
        ("a digest that is none", metadata("sha256 YQ==")),
        ("more bytes than its length", create().header("Content-Type", OCTETS).body([b'a'; LENGTH + 1])),
        ("bytes of another type", create().header("Content-Type", "text/plain").body("a")),
    ];
    for text in ["", "-1", "+1", "1.5", "1e3", "0x10", "abc", "1 1", "1,1", "9223372036854775807", "9223372036854775808", "18446744073709551616",
        "99999999999999999999999999", "6442450944"] {
        cases.push(("a length that is none, or too large", length(text)));
    }
    cases
}

#[tokio::test]
async fn creations_that_make_no_sense_are_refused() {
    let app = TestApp::start().await;
    for (what, request) in creations() {
        // Shown only when this fails.
        eprintln!("{what}");
        let answer = request.send(app.address()).await.unwrap_or_else(|| panic!("{what}: no answer"));
        if answer.status == 201 {
            // Lenient readings are allowed: a key that is not known, an empty list.
            let lenient =
                what.starts_with("metadata") || what.starts_with("a digest") || what == "two versions";
            assert!(lenient, "{what}: {answer:?}");
            end(&app, &answer).await;
            continue;
        }
        refused(what, &answer);
    }
    rows_and_objects_agree(&app).await;
    app.stop().await;
}

#[rustfmt::skip]
fn patches(id: &str) -> Vec<(&'static str, Request)> {
    let target = format!("/uploads/{id}");
    let patch = |offset: &str| tus("PATCH", &target).header("Upload-Offset", offset).header("Content-Type", OCTETS);
    let here = STORED.len().to_string();
    let rest = [b'b'; LENGTH - STORED.len()];
    let checksum = |text: &str| patch(&here).header("Upload-Checksum", text).body(rest);
    let mut cases = vec![
        ("no version", Request::new("PATCH", target.clone()).header("Upload-Offset", &here).header("Content-Type", OCTETS).body(rest)),
        ("no offset", tus("PATCH", &target).header("Content-Type", OCTETS).body(rest)),
        ("two offsets", patch(&here).header("Upload-Offset", "0").body(rest)),
        ("no type", tus("PATCH", &target).header("Upload-Offset", &here).body(rest)),
        ("another type", tus("PATCH", &target).header("Upload-Offset", &here).header("Content-Type", "application/octet-stream").body(rest)),
        ("one byte too many", patch(&here).body([b'b'; LENGTH - STORED.len() + 1])),
        ("a hundred kilobytes too many", patch(&here).body(vec![b'b'; 100_000])),
        ("a length of 8 exbibytes", patch(&here).header("Content-Length", "9223372036854775807").body("b")),
        ("chunks that run over", patch(&here).header("Transfer-Encoding", "chunked").body(format!("40\r\n{}\r\n0\r\n\r\n", "b".repeat(64)))),
        ("a wrong SHA-1", checksum("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        ("a wrong SHA-256", checksum(&format!("sha256 {}=", "A".repeat(43)))),
        ("a checksum that is too short", checksum("sha256 AAAA")),
        ("a checksum that is no base64", checksum("sha256 !!!!")),
        ("a checksum without a value", checksum("sha256")),
        ("an empty checksum", checksum("")),
        ("an algorithm nobody knows", checksum("whirlpool AAAA")),
        ("another upload's length", patch(&here).header("Upload-Length", "1000").header("Upload-Checksum", "what AAAA").body(rest)),
    ];
    for text in ["0", "10", "12", "20", "21", "-1", "+11", "11.0", "0x0b", "1e1", "abc", "", "11,11", "9223372036854775807", "9223372036854775808",
        "99999999999999999999999999"] {
        cases.push(("an offset that is not here", patch(text).body(rest)));
    }
    cases
}

#[tokio::test]
async fn patches_that_lie_change_nothing_of_the_upload() {
    let app = TestApp::start().await;
    let created = create().header("Content-Type", OCTETS).body(STORED).send(app.address()).await.unwrap();
    assert_eq!((created.status, created.header("upload-offset")), (201, Some("11")), "{created:?}");
    let target = target(&created);
    let id = target.rsplit('/').next().unwrap();
    for (what, request) in patches(id) {
        eprintln!("{what}");
        match request.send(app.address()).await {
            Some(answer) => refused(what, &answer),
            None => assert!(what.starts_with("a length"), "{what}: no answer"),
        }
        let head = tus("HEAD", &target).send(app.address()).await.unwrap();
        assert_eq!((head.status, head.header("upload-offset")), (200, Some("11")), "after {what}: {head:?}");
    }
    let rest = tus("PATCH", &target).header("Upload-Offset", "11").header("Content-Type", OCTETS);
    // SHA-1 of nine times "b".
    let rest = rest.header("Upload-Checksum", "sha1 pv0pFny9KnyaSlxu2Z0IDl0Us0Y=");
    let last = rest.body([b'b'; LENGTH - STORED.len()]).send(app.address()).await.unwrap();
    assert_eq!((last.status, last.header("upload-offset")), (204, Some("20")), "{last:?}");
    let content = app.get(&format!("/files/{}/content", last.header("x-file-id").unwrap())).await.ok();
    assert_eq!(content.body, [STORED, &[b'b'; 9]].concat());
    rows_and_objects_agree(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_upload_is_not_found_and_what_has_ended_takes_no_bytes() {
    let app = TestApp::start().await;
    let generated = app.post(&serde_json::json!({"title": "not uploaded"})).await;
    let generated = generated.json::<serde_json::Value>()["id"].to_string();
    let ended =
        create().header("Content-Type", OCTETS).body([b'a'; LENGTH]).send(app.address()).await.unwrap();
    assert_eq!(ended.status, 201, "{ended:?}");
    let cancelled = create().send(app.address()).await.unwrap();
    end(&app, &cancelled).await;
    let generated = format!("/uploads/{generated}");
    for target in [
        "/uploads/9223372036854775807",
        "/uploads/9223372036854775808",
        "/uploads/0",
        "/uploads/-1",
        "/uploads/abc",
        "/uploads/..%2f1",
        "/uploads/%00",
        &generated,
        &target(&ended),
        &target(&cancelled),
    ] {
        let patch =
            tus("PATCH", target).header("Upload-Offset", "0").header("Content-Type", OCTETS).body("a");
        for request in [patch, tus("PUT", target), tus("BREW", target)] {
            let answer = request.send(app.address()).await.unwrap();
            refused(target, &answer);
        }
    }
    for target in [target(&cancelled), generated.clone()] {
        let again = tus("DELETE", &target).send(app.address()).await.unwrap();
        refused("deleted once more", &again);
        let head = tus("HEAD", &target).send(app.address()).await.unwrap();
        assert!([404, 410].contains(&head.status), "{head:?}");
    }
    let content = app.get(&format!("/files/{}/content", ended.header("x-file-id").unwrap())).await.ok();
    assert_eq!(content.body, [b'a'; LENGTH].as_slice());
    rows_and_objects_agree(&app).await;
    app.stop().await;
}

/// Path of the upload that was created.
fn target(created: &Answer) -> String {
    let location = created.header("location").unwrap_or_else(|| panic!("no location: {created:?}"));
    let path = location.split_once("://").map_or(location, |(_, rest)| &rest[rest.find('/').unwrap()..]);
    path.to_owned()
}

/// Terminates the upload that was created.
async fn end(app: &TestApp, created: &Answer) {
    let answer = tus("DELETE", &target(created)).send(app.address()).await.unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn refused(what: &str, answer: &Answer) {
    assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    answer.problem();
}
