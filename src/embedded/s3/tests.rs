//! The server as the S3 client of the product sees it.

use std::collections::BTreeMap;
use std::path::Path;

use ::s3::creds::Credentials as ClientCredentials;
use ::s3::error::S3Error;
use ::s3::{Bucket, BucketConfiguration, Region};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::*;
use crate::port::Ports;

pub(super) const BUCKET: &str = "file-storage-bucket";
pub(super) const KEY: &str = "files/42_my_important_document_1767398400000.txt";

pub(super) async fn start(dir: &Path, durability: Durability) -> EmbeddedS3 {
    let data_dir = DataDir::open(dir).unwrap();
    EmbeddedS3::start(S3Options { data_dir, durability }).await.unwrap()
}

fn access(config: &S3Config) -> (Region, ClientCredentials) {
    let region = Region::Custom { region: config.region.clone(), endpoint: config.endpoint.clone().unwrap() };
    let secret = config.secret_access_key.expose_secret();
    let credentials = ClientCredentials::new(Some(&config.access_key_id), Some(secret), None, None, None);
    (region, credentials.unwrap())
}

pub(super) fn client(server: &EmbeddedS3) -> Box<Bucket> {
    let (region, credentials) = access(&server.s3_config(BUCKET));
    Bucket::new(BUCKET, region, credentials).unwrap().with_path_style()
}

pub(super) async fn make_bucket(server: &EmbeddedS3) -> Result<u16, u16> {
    let (region, credentials) = access(&server.s3_config(BUCKET));
    let made =
        Bucket::create_with_path_style(BUCKET, region, credentials, BucketConfiguration::default()).await;
    made.map(|response| response.response_code).map_err(|error| status(&error))
}

pub(super) fn status(error: &S3Error) -> u16 {
    let S3Error::HttpFailWithBody(status, _) = error else { panic!("{error}") };
    *status
}

pub(super) fn checksum_of(content: &[u8]) -> HeaderMap {
    let sum = BASE64_STANDARD.encode(Sha256::digest(content));
    HeaderMap::from_iter([(
        HeaderName::from_static("x-amz-checksum-sha256"),
        HeaderValue::from_str(&sum).unwrap(),
    )])
}

#[tokio::test]
async fn objects_buckets_port_and_credentials_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ports = Ports::reserve();
    std::fs::write(dir.path().join("s3.port"), ports.first.to_string()).unwrap();
    let first = start(dir.path(), Durability::Full).await;
    assert_eq!(make_bucket(&first).await, Ok(200));
    client(&first).put_object(KEY, b"content").await.unwrap();
    let (endpoint, key_id) = (first.endpoint(), first.access_key_id().to_owned());
    first.stop().await;

    let second = start(dir.path(), Durability::Full).await;
    assert_eq!(second.endpoint(), endpoint);
    assert_eq!(second.access_key_id(), key_id);
    assert_eq!(make_bucket(&second).await, Err(409));
    assert_eq!(client(&second).get_object(KEY).await.unwrap().bytes(), "content".as_bytes());
    second.stop().await;
}

#[tokio::test]
async fn the_checksum_sent_comes_back_from_put_and_get() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let sent = checksum_of(b"content");
    let expected = sent["x-amz-checksum-sha256"].to_str().unwrap();
    let put = bucket
        .put_object_with_content_type_and_headers(KEY, b"content", "text/plain", Some(sent.clone()))
        .await
        .unwrap();
    assert_eq!(put.headers()["x-amz-checksum-sha256"], expected);
    assert!(put.headers().contains_key("etag"));
    let get = bucket.get_object(KEY).await.unwrap();
    assert_eq!(get.headers()["x-amz-checksum-sha256"], expected);
    assert_eq!(get.headers()["content-type"], "text/plain");
    let (head, code) = bucket.head_object(KEY).await.unwrap();
    assert_eq!((code, head.content_length), (200, Some(7)));
    server.stop().await;
}

#[tokio::test]
async fn ranges_listing_deleting_and_missing_objects_behave_as_in_s3() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    for key in [KEY, "files/7_other_1.txt", "top.txt"] {
        bucket.put_object(key, b"0123456789").await.unwrap();
    }
    let range = bucket.get_object_range(KEY, 2, Some(4)).await.unwrap();
    assert_eq!((range.status_code(), range.bytes().as_ref()), (206, &b"234"[..]));
    let listed = bucket.list("files/".to_owned(), None).await.unwrap();
    let keys: Vec<&str> = listed.iter().flat_map(|page| &page.contents).map(|o| o.key.as_str()).collect();
    assert_eq!(keys, [KEY, "files/7_other_1.txt"]);

    assert_eq!(bucket.delete_object(KEY).await.unwrap().status_code(), 204);
    assert_eq!(bucket.delete_object(KEY).await.unwrap().status_code(), 204);
    assert_eq!(status(&bucket.get_object(KEY).await.unwrap_err()), 404);
    assert_eq!(status(&bucket.head_object(KEY).await.unwrap_err()), 404);
    server.stop().await;
}

#[tokio::test]
async fn an_object_is_one_file_that_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Full).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    bucket.put_object(KEY, b"content").await.unwrap();
    assert_eq!(tree(&dir.path().join("objects")).len(), 1);
    bucket.delete_object(KEY).await.unwrap();
    assert!(tree(&dir.path().join("objects")).is_empty());
    server.stop().await;
}

/// Every file below, by its path there.
pub(super) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[tokio::test]
async fn bytes_other_than_those_that_were_signed_for_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let put = bucket.put_object_with_content_type_and_headers(
        KEY,
        b"other",
        "text/plain",
        Some(checksum_of(b"content")),
    );
    assert_eq!(status(&put.await.unwrap_err()), 400);
    assert!(tree(&dir.path().join("objects")).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn requests_without_the_credentials_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let url = format!("{}/{BUCKET}/{KEY}", server.endpoint());
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 403);
    let mut config = server.s3_config(BUCKET);
    config.secret_access_key = SecretString::from("wrong");
    let (region, credentials) = access(&config);
    let stranger = Bucket::new(BUCKET, region, credentials).unwrap().with_path_style();
    assert_eq!(status(&stranger.put_object(KEY, b"x").await.unwrap_err()), 403);
    server.stop().await;
}

/// Half of a signed upload, then the connection breaks, as when the sender is killed.
#[tokio::test]
async fn an_upload_that_breaks_off_leaves_no_object() {
    use tokio::io::AsyncWriteExt;

    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let url = bucket.presign_put(KEY, 60, None, None).await.unwrap();
    let path = url.strip_prefix(&server.endpoint()).unwrap();
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000000\r\n\r\n", server.address);
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; 500_000]).await.unwrap();
    drop(socket);
    // Ends only when every connection has, so the upload is over.
    server.stop().await;
    assert!(tree(&dir.path().join("objects")).is_empty());
}

#[tokio::test]
async fn what_a_killed_upload_wrote_is_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    // The first as an older release left it.
    for part in ["objects/.tmp.0.internal.part", "objects/.v2/staging/7"] {
        let part = dir.path().join(part);
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        std::fs::write(&part, "half").unwrap();
        start(dir.path(), Durability::Fast).await.stop().await;
        assert!(!part.exists());
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    bucket.put_object(KEY, b"content").await.unwrap();
    let _silent = TcpStream::connect(server.address).await.unwrap();
    timeout(STOP_TIMEOUT / 2, server.stop()).await.unwrap();
    assert!(bucket.get_object(KEY).await.is_err());
}

#[tokio::test]
async fn a_large_object_goes_and_comes_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Durability::Fast).await;
    make_bucket(&server).await.unwrap();
    let bucket = client(&server);
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    bucket.put_object_stream(&mut content.as_slice(), KEY).await.unwrap();
    assert!(bucket.get_object(KEY).await.unwrap().bytes() == content.as_slice());
    server.stop().await;
}
