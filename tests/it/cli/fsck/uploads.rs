//! Multipart uploads that were never completed, on a store that can list them, which the embedded one can't.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{completed, env, fsck};

/// Proxy in front of the embedded store that lists uploads and forwards everything else.
struct Front {
    endpoint: String,
    /// Keys and ids of the open uploads, as they appear in request lines.
    uploads: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl Front {
    async fn of(store: &str, uploads: Vec<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let uploads = Arc::new(Mutex::new(uploads));
        let (store, known) = (store.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&uploads));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, store.clone(), Arc::clone(&known)));
            }
        });
        Self { endpoint, uploads }
    }
}

/// Answers one request; requests have no bodies.
async fn serve(mut client: TcpStream, store: String, uploads: Arc<Mutex<Vec<(&'static str, &'static str)>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap();
    let (path, query) = line.split(' ').nth(1).unwrap().split_once('?').unwrap_or_default();
    let upload = query.split('&').find_map(|part| part.strip_prefix("uploadId="));
    let answer = if let (true, Some(upload)) = (line.starts_with("DELETE "), upload) {
        uploads.lock().unwrap().retain(|(key, id)| !(path.ends_with(key) && upload == *id));
        "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned()
    } else if line.starts_with("GET ") && line.contains("uploads=") {
        let body = listing(&uploads.lock().unwrap(), line);
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    } else {
        let mut upstream = TcpStream::connect(store).await.unwrap();
        let request = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(request.as_bytes()).await.unwrap();
        let _ = tokio::io::copy(&mut upstream, &mut client).await;
        return;
    };
    let _ = client.write_all(answer.as_bytes()).await;
}

/// Lists the uploads with the prefix that the query names, one in each page.
fn listing(uploads: &[(&str, &str)], line: &str) -> String {
    let prefix = line.split_once("prefix=").unwrap().1.split(['&', ' ']).next().unwrap().replace("%2F", "/");
    let uploads: Vec<_> = uploads.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    let place = uploads.iter().position(|(_, id)| line.contains(&format!("upload-id-marker={id}")));
    let place = place.map_or(0, |place| place + 1);
    let Some((key, id)) = uploads.get(place) else { return "<ListMultipartUploadsResult/>".to_owned() };
    let at = if *id == "young" { "2999-01-01T00:00:00.000Z" } else { "2026-01-03T00:00:00.000Z" };
    format!(
        "<ListMultipartUploadsResult><NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>\
         <IsTruncated>{}</IsTruncated><Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{at}</Initiated>\
         </Upload></ListMultipartUploadsResult>",
        place + 1 < uploads.len()
    )
}

#[tokio::test]
async fn abandoned_uploads_are_found_and_aborted_and_young_ones_left() {
    let (roles, files) = completed(&["a"]).await;
    let store = roles.bucket.config.endpoint.clone().unwrap();
    let planted = vec![
        ("files/7_x_1.txt", "one"),
        ("files/8_x_1.txt", "young"),
        ("files/movie.mp4", "two"),
        ("uploads/a/9/x.txt", "three"),
    ];
    let front = Front::of(&store, planted).await;
    let mut env = env(&roles.database, &roles.bucket);
    env.retain(|(name, _)| *name != "S3_ENDPOINT");
    env.push(("S3_ENDPOINT", front.endpoint.clone()));

    let found = fsck(&["--output", "json"], env.clone()).await;
    let upload = |id: Option<i64>, key: &str| ("abandoned_upload".to_owned(), id, key.to_owned());
    let expected = vec![
        upload(None, "files/movie.mp4"),
        upload(Some(7), "files/7_x_1.txt"),
        upload(Some(9), "uploads/a/9/x.txt"),
    ];
    assert_eq!((found.code, found.findings()), (1, expected), "{}", found.stderr);
    assert_eq!(found.document["notes"], serde_json::json!([]));
    assert_eq!((found.number("read"), front.uploads.lock().unwrap().len()), (files.len() as u64, 4));

    let repaired = fsck(&["--output", "json", "--repair"], env.clone()).await;
    assert_eq!((repaired.code, repaired.counts()["abandoned_upload"]), (0, (3, 3)), "{}", repaired.stderr);
    assert_eq!(*front.uploads.lock().unwrap(), [("files/8_x_1.txt", "young")]);
    assert_eq!(fsck(&["--output", "json"], env).await.code, 0);
    roles.stop().await;
}
