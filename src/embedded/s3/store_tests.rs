//! Keys that no file system would like, uploads in parts, objects of older releases, a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ::s3::serde_types::Part;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tests::{BUCKET, KEY, client, make_bucket, start, status, tree};
use super::*;
use crate::not_run::not_run;

/// The query that signs a request. Clients of S3 in libraries take a path apart before they sign it.
async fn signed(server: &EmbeddedS3, method: &str, path: &str) -> String {
    // Its day and time, so that no clock is needed here.
    let url = client(server).presign_get(KEY, 60, None).await.unwrap();
    let time = url.split_once("X-Amz-Date=").unwrap().1.get(..16).unwrap().to_owned();
    let scope = format!("{}/us-east-1/s3/aws4_request", &time[..8]);
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={time}&X-Amz-Expires=60\
         &X-Amz-SignedHeaders=host",
        server.access_key_id(),
        scope.replace('/', "%2F")
    );
    let request = format!("{method}\n{path}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD", server.address);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()
    };
    let mut key = format!("AWS4{}", server.secret_access_key().expose_secret()).into_bytes();
    for part in [&time[..8], "us-east-1", "s3", "aws4_request"] {
        key = mac(&key, part).to_vec();
    }
    format!("{query}&X-Amz-Signature={}", hex(&mac(&key, &text)))
}

/// Sends a request as it is written; the status of the answer.
async fn send(server: &EmbeddedS3, method: &str, path: &str) -> u16 {
    // As the signature has it: without needless escapes.
    let query = signed(server, method, &path.replace("%2E", ".").replace("%2F", "/")).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "{method} {path}?{query} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
        server.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(STOP_TIMEOUT, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default()
}

#[tokio::test]
async fn keys_lead_nowhere_outside_of_their_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = start(&data, Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let (long, too_long) = ("x".repeat(1024), "x".repeat(1025));
    for (path, expected) in [
        ("..", 400),
        (".", 400),
        ("../x", 400),
        ("%2E%2E%2Fx", 400),
        ("../../../etc/x", 400),
        ("a/../../x", 400),
        ("a/./x", 400),
        ("a/..", 400),
        ("a%00b", 400),
        (&too_long, 400),
        ("/etc/x", 200),
        ("//", 200),
        ("a//b", 200),
        ("a", 200),
        ("a/b", 200),
        ("a/b/", 200),
        ("a%0Ab", 200),
        ("...", 200),
        ("..x", 200),
        (".v2", 200),
        (&long, 200),
    ] {
        let path = format!("/{BUCKET}/{path}");
        assert_eq!(send(&server, "PUT", &path).await, expected, "{path}");
        let found = send(&server, "GET", &path).await;
        assert!(found == expected || (expected == 400 && found == 404), "{path}: {found}");
    }
    for bucket in ["..", ".", ".v2", "%2E%2E", "a%2Fb", "ab", &"x".repeat(64), "A_b"] {
        let status = send(&server, "PUT", &format!("/{bucket}/x")).await;
        assert!((400..500).contains(&status), "{bucket}: {status}");
    }
    let bucket = client(&server);
    for key in ["a", "a/b", "x\u{1}", "é 日本"] {
        assert_eq!(bucket.put_object(key, key.as_bytes()).await.unwrap().status_code(), 200, "{key}");
        assert_eq!(bucket.get_object(key).await.unwrap().bytes().as_ref(), key.as_bytes(), "{key}");
    }
    // Nothing was written outside of the bucket's own directory.
    let inside = data.join("objects/.v2/buckets").join(BUCKET);
    assert!(
        tree(&data.join("objects")).keys().all(|path| data.join("objects").join(path).starts_with(&inside))
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn no_other_user_may_read_objects() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    client(&server).put_object(KEY, b"content").await.unwrap();
    let mut paths = vec![dir.path().join("objects")];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        seen += 1;
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen >= 7, "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_in_parts_is_listed_completed_and_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let begin = async || bucket.initiate_multipart_upload(KEY, "text/plain").await.unwrap().upload_id;
    let (first, second) = (begin().await, begin().await);
    let content = vec![b'x'; 5 << 20];
    let send = async |number, id: &str, bytes: &[u8]| -> Part {
        bucket.put_multipart_chunk(bytes.to_vec(), KEY, number, id, "text/plain").await.unwrap()
    };
    send(1, &first, b"replaced").await;
    let parts = vec![send(1, &first, &content).await, send(2, &first, b"end").await];
    send(1, &second, b"never completed").await;
    let listed = bucket.list_multiparts_uploads(None, None).await.unwrap();
    assert_eq!(listed[0].uploads.len(), 2);
    for id in ["", "..", "../..", "0", "not-one"] {
        assert!(bucket.abort_upload(KEY, id).await.is_err(), "{id}");
    }
    let swapped = vec![parts[1].clone(), parts[0].clone()];
    assert_eq!(status(&bucket.complete_multipart_upload(KEY, &first, swapped).await.unwrap_err()), 400);
    let done = bucket.complete_multipart_upload(KEY, &first, parts).await.unwrap();
    assert_eq!(done.status_code(), 200);
    bucket.abort_upload(KEY, &second).await.unwrap();
    assert!(bucket.list_multiparts_uploads(None, None).await.unwrap()[0].uploads.is_empty());
    let object = bucket.get_object(KEY).await.unwrap();
    assert_eq!(
        (object.bytes().len(), object.headers()["content-type"].as_str()),
        (content.len() + 3, "text/plain")
    );
    assert!(object.headers()["etag"].ends_with("-2\""), "{:?}", object.headers());
    let range = bucket.get_object_range(KEY, content.len() as u64 - 1, None).await.unwrap();
    assert_eq!(range.bytes().as_ref(), b"xend");
    assert_eq!(tree(&dir.path().join("objects")).len(), 1, "nothing else is left");
    server.stop().await;
}

/// Files as `s3s-fs` made them.
fn plant_old(objects: &Path, key: &str, content: &str) {
    let path = objects.join(BUCKET).join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let (bucket, key) = (BASE64_URL_SAFE_NO_PAD.encode(BUCKET), BASE64_URL_SAFE_NO_PAD.encode(key));
    let describe = |kind, text: &str| {
        fs::write(objects.join(format!(".bucket-{bucket}.object-{key}.{kind}.json")), text).unwrap();
    };
    describe("metadata", r#"{"content_type":"text/plain"}"#);
    describe("internal", r#"{"e_tag":"0cc175b9c0f1b6a831c399e269772661","checksum_sha256":"c3Vt"}"#);
}

#[tokio::test]
async fn objects_of_an_older_release_are_there_and_become_one_file_each() {
    let dir = tempfile::tempdir().unwrap();
    let objects = dir.path().join("objects");
    for n in 0..41 {
        plant_old(&objects, &format!("files/{n}_x.txt"), &format!("content {n}"));
    }
    // As a process left it that was killed while it removed an object.
    fs::remove_file(objects.join(BUCKET).join("files/40_x.txt")).unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    let bucket = client(&server);
    // While they move.
    let put = bucket.put_object("files/0_x.txt", b"newer").await.unwrap();
    assert_eq!(put.status_code(), 200);
    bucket.delete_object("files/39_x.txt").await.unwrap();
    for n in 1..39 {
        let object = bucket.get_object(format!("files/{n}_x.txt")).await.unwrap();
        assert_eq!(object.bytes().as_ref(), format!("content {n}").as_bytes());
        assert_eq!(object.headers()["content-type"], "text/plain");
        assert_eq!(object.headers()["x-amz-checksum-sha256"], "c3Vt");
    }
    let listed = bucket.list("files/".to_owned(), None).await.unwrap();
    assert_eq!(listed.iter().map(|page| page.contents.len()).sum::<usize>(), 39);
    let moved = async {
        while objects.join(BUCKET).exists() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STOP_TIMEOUT, moved).await.unwrap();
    let tidied = async {
        while fs::read_dir(&objects).unwrap().count() > 1 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STOP_TIMEOUT, tidied).await.unwrap();
    assert_eq!(tree(&objects).len(), 39);
    assert_eq!(bucket.get_object("files/0_x.txt").await.unwrap().bytes().as_ref(), b"newer");
    assert_eq!(status(&bucket.get_object("files/39_x.txt").await.unwrap_err()), 404);
    server.stop().await;
}

/// A file system of its own, which goes with this.
pub(super) struct Tmpfs(pub tempfile::TempDir);

impl Tmpfs {
    /// `None` where mounting one is not allowed.
    pub fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={size},mode=700");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "filesys"]).arg(dir.path()).output();
        done.is_ok_and(|done| done.status.success()).then(|| Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let done = Command::new("umount").args(["--lazy"]).arg(self.0.path()).status();
        assert!(done.is_ok_and(|done| done.success()));
    }
}

#[tokio::test]
async fn a_full_disk_is_said_in_each_answer_and_leaves_nothing_half_done() {
    let Some(disk) = Tmpfs::mount("2m") else {
        not_run("a file system of its own can't be mounted");
        return;
    };
    let server = start(disk.0.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    bucket.put_object("small", b"content").await.unwrap();
    let filler = disk.0.path().join("filler");
    let full = fs::write(&filler, vec![b'x'; 3 << 20]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);

    let large = vec![b'x'; 100_000];
    assert_eq!(status(&bucket.put_object("large", &large).await.unwrap_err()), 507);
    assert_eq!(status(&bucket.get_object("large").await.unwrap_err()), 404);
    assert_eq!(bucket.get_object("small").await.unwrap().bytes().as_ref(), b"content");
    // What a health check asks.
    let probe = async || bucket.list_page(String::new(), None, None, None, Some(1)).await;
    assert_eq!(status(&probe().await.unwrap_err()), 507);
    assert_eq!(tree(&disk.0.path().join("objects")).len(), 1);

    fs::remove_file(&filler).unwrap();
    let healed = async {
        while probe().await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(STOP_TIMEOUT, healed).await.unwrap();
    assert_eq!(bucket.put_object("large", &large).await.unwrap().status_code(), 200);
    server.stop().await;
}
