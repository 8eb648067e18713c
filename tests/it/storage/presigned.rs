//! Presigned URLs, in the hands of a client that knows nothing else of the store.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use filesys::config::S3Config;
use filesys::storage::Storage;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderName, StatusCode};
use reqwest::{Body, Client, Response};
use sha2::{Digest, Sha256};
use url::Url;

use crate::support::Bucket;

const KEY: &str = "uploads/anonymous/1/movie.mp4";
const TTL: Duration = Duration::from_mins(1);
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

async fn put(url: Url, headers: &[(HeaderName, &str)], body: impl Into<Body>) -> Response {
    let request = Client::new().put(url).body(body);
    headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send().await.unwrap()
}

#[tokio::test]
async fn an_object_is_read_with_the_headers_that_the_url_names() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    storage.put(KEY, "text/html", &"content".into()).await.unwrap();
    let disposition = "attachment; filename=\"a b+&%.txt\"; filename*=UTF-8''%C3%BC.txt";
    let url = storage.presign_get(KEY, TTL, disposition, "application/octet-stream").unwrap();
    let answer = Client::new().get(url.clone()).header("range", "bytes=1-3").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.headers()[CONTENT_DISPOSITION], disposition);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/octet-stream");
    assert_eq!(answer.bytes().await.unwrap(), "ont");
    if Bucket::is_embedded() {
        for (part, other) in
            [("movie.mp4", "other.mp4"), ("attachment", "inline"), ("X-Amz-Expires=60", "X-Amz-Expires=61")]
        {
            let altered = url.as_str().replacen(part, other, 1);
            assert_ne!(altered, url.as_str());
            assert_eq!(
                Client::new().get(altered).send().await.unwrap().status(),
                StatusCode::FORBIDDEN,
                "{part}"
            );
        }
        let deleted = Client::new().delete(url).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn an_object_is_stored_with_the_announced_bytes_only() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    let checksum = BASE64_STANDARD.encode(Sha256::digest("content"));
    let headers = [(CONTENT_TYPE, "video/mp4"), (CONTENT_LENGTH, "7"), (CHECKSUM, &checksum)];
    let url = storage.presign_put(KEY, TTL, &headers).unwrap();
    if Bucket::is_embedded() {
        for (others, body) in [
            (vec![(CONTENT_TYPE, "text/html"), (CHECKSUM, &*checksum)], "content"),
            (vec![(CONTENT_TYPE, "video/mp4")], "content"),
            (vec![(CONTENT_TYPE, "video/mp4"), (CHECKSUM, &*checksum)], "another"),
            (vec![(CONTENT_TYPE, "video/mp4"), (CHECKSUM, &*checksum)], "longer than that"),
        ] {
            let refused = put(url.clone(), &others, body).await.status();
            assert!(refused.is_client_error(), "{others:?}: {refused}");
        }
        assert!(bucket.keys().await.is_empty());
    }
    let answer = put(url, &headers, "content").await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    assert_eq!(bucket.object(KEY).await, "content");
}

#[tokio::test]
async fn parts_are_stored_by_clients_and_completed_by_us() {
    let bucket = Bucket::named_uniquely();
    let storage = bucket.made().await;
    let id = storage.start_presigned_upload(KEY, "video/mp4").await.unwrap();
    assert!(storage.list_parts(KEY, &id).await.unwrap().is_empty());
    let contents = [vec![b'a'; 5 << 20], b"end".to_vec()];
    let mut tags = Vec::new();
    for (content, number) in contents.clone().into_iter().zip([1, 2]) {
        let answer = put(storage.presign_part(KEY, &id, number, TTL).unwrap(), &[], content).await;
        assert_eq!(answer.status(), StatusCode::OK);
        tags.push(answer.headers()[ETAG].to_str().unwrap().to_owned());
    }
    let parts = storage.list_parts(KEY, &id).await.unwrap();
    assert_eq!(parts.iter().map(|part| &part.etag).collect::<Vec<_>>(), tags.iter().collect::<Vec<_>>());
    assert_eq!(parts.iter().map(|part| part.size).collect::<Vec<_>>(), [5 << 20, 3]);
    storage.complete_upload(KEY, &id, &parts).await.unwrap();
    assert!(bucket.object(KEY).await == contents.concat());
}

#[tokio::test]
async fn urls_lead_to_the_public_endpoint() {
    let bucket = Bucket::named_uniquely();
    bucket.made().await.put(KEY, "text/plain", &Bytes::from("content")).await.unwrap();
    let port = Url::parse(bucket.config.endpoint.as_ref().unwrap()).unwrap().port().unwrap();
    let public = format!("http://localhost:{port}");
    let config = S3Config { public_endpoint: Some(public.clone()), ..bucket.config.clone() };
    let storage = Storage::new(&config).unwrap();
    let url = storage.presign_get(KEY, TTL, "inline", "text/plain").unwrap();
    assert!(url.as_str().starts_with(&format!("{public}/{}/{KEY}?", bucket.name())), "{url}");
    assert_eq!(Client::new().get(url).send().await.unwrap().bytes().await.unwrap(), "content");
    assert!(storage.head(KEY).await.unwrap().is_some(), "our own requests go where they went");
}
