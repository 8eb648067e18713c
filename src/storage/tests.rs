//! Outcomes of the store's answers, with a server that gives prepared ones.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::Env;
use crate::domain::{Error, ErrorKind};

/// Beginning of the request, and status line, headers and body of its answer.
type Answer = (&'static str, &'static str, &'static str, &'static str);

const NO_SUCH_KEY: Answer = ("", "404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
const HTML: Answer = ("", "200 OK", "Content-Type: text/html\r\n", "<html><body>It works!</body></html>");

/// Starts a server that answers each request with the first of `answers` that matches; returns the requests as well.
async fn store(answers: &'static [Answer]) -> (Storage, String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let length = client.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let fits = |answer: &&Answer| request.starts_with(answer.0);
            let (_, status, headers, body) = answers.iter().find(fits).unwrap();
            seen.lock().unwrap().push(request);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let endpoint = format!("http://LocalHost:{port}/");
    let config = S3Config::read(&mut Env::of([
        ("S3_ENDPOINT", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]));
    (Storage::new(&config).unwrap(), format!("localhost:{port}"), requests)
}

async fn put(storage: &Storage) -> StorageError {
    storage.put("files/1_x_1.txt", "text/plain", &Bytes::from("x")).await.unwrap_err()
}

async fn opened(storage: &Storage) -> StorageError {
    storage.open("files/1_x_1.txt", None).await.map(|(size, _)| size).unwrap_err()
}

#[tokio::test]
async fn what_a_store_confirmed_and_does_not_have_is_no_reason_to_give_up_on_the_request() {
    let (storage, ..) = store(&[("PUT", "200 OK", "ETag: \"e\"\r\n", ""), NO_SUCH_KEY]).await;
    let error = put(&storage).await;
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
    assert_eq!(Error::from(error).kind, ErrorKind::Internal);
}

/// Stores a part of one byte.
async fn put_part(storage: &Storage) -> Result<Part, StorageError> {
    let sha256 = Sha256::digest("x").into();
    storage.put_part("uploads/a/1/x", "u", 1, &["x".into()], sha256).await
}

#[tokio::test]
async fn a_part_is_confirmed_by_its_checksum_only() {
    let (storage, ..) = store(&[("PUT", "200 OK", "ETag: \"e\"\r\n", "")]).await;
    let part = put_part(&storage).await.unwrap();
    assert_eq!((part.etag.as_str(), part.confirmed), ("\"e\"", false));
    let other: &[Answer] = &[("PUT", "200 OK", "ETag: \"e\"\r\nx-amz-checksum-sha256: c3Vt\r\n", "")];
    let (storage, ..) = store(other).await;
    let error = put_part(&storage).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_part_is_tried_again_while_the_store_is_unavailable() {
    let (storage, _, requests) = store(&[HTML]).await;
    let error = put_part(&storage).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error}");
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), limits::MAX_RETRIES + 1);
    assert!(requests.iter().all(|request| request.to_ascii_lowercase().contains("content-length: 1\r\n")));
}

#[tokio::test]
async fn an_upload_is_complete_only_when_the_body_says_so() {
    let complete = async |answers| {
        let (storage, ..) = store(answers).await;
        storage.complete_upload("uploads/a/1/x", "u", &[]).await
    };
    let done: &[Answer] = &[(
        "POST /file-storage-bucket/uploads/a/1/x?",
        "200 OK",
        "",
        "<?xml version=\"1.0\"?>\n <CompleteMultipartUploadResult><Key>x</Key></CompleteMultipartUploadResult>",
    )];
    complete(done).await.unwrap();
    for (answers, is_unavailable) in [
        (&[HTML] as &[Answer], true),
        (&[("", "200 OK", "", "")], true),
        (&[("", "200 OK", "", "<Error><Code>InternalError</Code></Error>")], true),
        (&[("", "200 OK", "", "<Error><Code>InvalidPart</Code></Error>")], false),
    ] {
        let error = complete(answers).await.unwrap_err();
        assert_eq!(matches!(error, StorageError::Unavailable(_)), is_unavailable, "{answers:?}: {error}");
    }
    for status in ["200 OK", "404 Not Found"] {
        let answers: &'static [Answer] =
            Box::leak(Box::new([("", status, "", "<Error><Code>NoSuchUpload</Code></Error>")]));
        let error = complete(answers).await.unwrap_err();
        assert!(matches!(error, StorageError::NotFound(_)), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_success_that_does_not_come_from_an_s3_server_is_an_outage() {
    let no_answers: [&'static [Answer]; 5] = [
        &[HTML],
        &[("", "200 OK", "", "")],
        &[("", "204 No Content", "", "")],
        &[("", "200 OK", "", "<Error><Code>InternalError</Code></Error>")],
        &[("", "200 OK", "", "<ListBucketResult><Name>b</Na")],
    ];
    for answers in no_answers {
        let (storage, ..) = store(answers).await;
        let key = "files/1_x_1.txt";
        for error in [
            storage.ping().await.unwrap_err(),
            storage.ensure_bucket().await.unwrap_err(),
            storage.list_objects("files/", None).await.unwrap_err(),
            storage.head(key).await.unwrap_err(),
            put(&storage).await,
            opened(&storage).await,
            storage.digest(key).await.unwrap_err(),
            storage.remove(key).await.unwrap_err(),
            storage.start_upload(key, "text/plain").await.unwrap_err(),
        ] {
            assert!(matches!(error, StorageError::Unavailable(_)), "{answers:?}: {error}");
        }
    }
}

#[tokio::test]
async fn an_object_is_missing_only_when_s3_says_so() {
    let (storage, ..) = store(&[NO_SUCH_KEY]).await;
    assert!(matches!(opened(&storage).await, StorageError::NotFound(_)));
    let (storage, ..) = store(&[("", "404 Not Found", "", "<html>404 page not found</html>")]).await;
    assert!(matches!(opened(&storage).await, StorageError::Unavailable(_)));
    assert!(matches!(storage.ensure_bucket().await.unwrap_err(), StorageError::Unavailable(_)));
}

#[tokio::test]
async fn a_request_that_the_store_gave_up_on_is_tried_again_and_fails_no_file() {
    let timeout = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>RequestTimeout</Code><Message>Your socket \
         connection to the server was not read from or written to within the timeout period.</Message></Error>";
    let answers: &'static [Answer] =
        Box::leak(Box::new([("", "400 Bad Request", "", &*timeout.to_owned().leak())]));
    let (storage, ..) = store(answers).await;
    assert_eq!(Error::from(put(&storage).await).kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_names_the_settings() {
    let answers: &[Answer] = &[(
        "",
        "301 Moved Permanently",
        "Location: http://127.0.0.1:9/\r\n",
        "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint></Error>",
    )];
    let (storage, _, requests) = store(answers).await;
    let error = put(&storage).await;
    assert!(matches!(error, StorageError::Misconfigured(_)), "{error}");
    assert!(error.to_string().contains("b.s3-eu-west-1.amazonaws.com"), "{error}");
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_without_an_end_is_not_read_to_its_end() {
    let long: &'static str = "x".repeat(limits::MAX_ERROR_BYTES + 1).leak();
    let answers: &'static [Answer] = Box::leak(Box::new([("", "400 Bad Request", "", long)]));
    let (storage, ..) = store(answers).await;
    assert!(matches!(put(&storage).await, StorageError::Unavailable(_)));
}

/// Checks that the host is sent as it is signed: in lower case, without the scheme's default port.
#[tokio::test]
async fn the_host_is_sent_as_the_endpoint_is_understood() {
    let (storage, host, requests) = store(&[NO_SUCH_KEY]).await;
    opened(&storage).await;
    let request = requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(request.contains(&format!("\r\nhost: {host}\r\n")), "{request}");
}
