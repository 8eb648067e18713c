//! Clients that send bodies that are not read, send slowly, or use another version of HTTP: only their connections end.

use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{Request, exchange};
use crate::support::{PATIENCE, TestApp, eventually, holds, within};

/// Descriptors that the pools of connections to PostgreSQL and S3 may add during the test.
const POOLED: usize = 16;

/// All routes with each of their methods, and some that don't exist.
const ROUTES: [(&str, &str); 30] = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/files"),
    ("POST", "/files"),
    ("GET", "/files/stats"),
    ("GET", "/files/1"),
    ("DELETE", "/files/999"),
    ("POST", "/files/1/cancel"),
    ("POST", "/files/1/retry"),
    ("GET", "/files/1/content"),
    ("GET", "/files/1/timeline"),
    ("GET", "/dead-letters"),
    ("GET", "/dead-letters/1"),
    ("POST", "/dead-letters/1/replay"),
    ("POST", "/dead-letters/1/discard"),
    ("GET", "/"),
    ("POST", "/ui/files"),
    ("GET", "/ui/files/fragment"),
    ("GET", "/ui/files/1"),
    ("POST", "/ui/files/1/cancel"),
    ("POST", "/ui/files/1/retry"),
    ("POST", "/ui/files/1/delete"),
    ("GET", "/ui/dead-letters"),
    ("POST", "/ui/dead-letters/1/replay"),
    ("POST", "/ui/dead-letters/1/discard"),
    ("GET", "/assets/app.css"),
    ("PUT", "/files"),
    ("HEAD", "/files"),
    ("OPTIONS", "/files/1"),
    ("PATCH", "/nothing"),
];

fn chunks(count: usize, size: usize) -> Vec<u8> {
    let chunk = [format!("{size:x}\r\n").into_bytes(), vec![b'a'; size], b"\r\n".to_vec()].concat();
    chunk.repeat(count)
}

/// Bodies by name: their headers and what follows them.
fn bodies() -> Vec<(&'static str, String, Vec<u8>)> {
    let length = |length: usize| format!("Content-Length: {length}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
    vec![
        ("small", length(2), b"{}".to_vec()),
        ("large", length(300_000), vec![b'a'; 300_000]),
        ("too large", length(1_000_000), vec![b'a'; 400_000]),
        ("never sent", length(9), vec![b'a']),
        ("five chunks and no end", chunked.clone(), chunks(5, 65_536)),
        ("many chunks", chunked.clone(), [chunks(40, 16_384), b"0\r\n\r\n".to_vec()].concat()),
        ("a chunk cut off", chunked, b"ffff\r\nabc".to_vec()),
        ("another protocol", "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(), vec![b'a'; 200_000]),
    ]
}

#[tokio::test]
async fn a_body_that_is_not_read_never_keeps_its_connection() {
    let app = TestApp::start().await;
    app.completed_file("one").await;
    let bodies = bodies();
    // What the process opens at the first use of anything.
    abandon(&app, &bodies).await;
    let before = eventually("the connections are gone", async || idle(&app)).await;
    for _ in 0..2 {
        abandon(&app, &bodies).await;
    }
    eventually("the descriptors of several hundred clients are given back", async || {
        let now = app.process.descriptors();
        holds(now <= before + POOLED, (before, now))
    })
    .await;
    assert_eq!(app.get("/livez").await.status, 200);
    app.stop().await;
}

fn idle(app: &TestApp) -> Result<usize, String> {
    // The client of the test keeps one for its next request.
    holds(app.process.connections() <= 1, app.process.connections()).map(|()| app.process.descriptors())
}

/// Sends every body to every route, from clients that close before they have their answer and from some that wait for it.
async fn abandon(app: &TestApp, bodies: &[(&str, String, Vec<u8>)]) {
    let mut clients = tokio::task::JoinSet::new();
    for (index, (method, path)) in ROUTES.iter().enumerate() {
        for (body, (_, headers, bytes)) in bodies.iter().enumerate() {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            let (request, address) = ([head.as_bytes(), bytes].concat(), app.address().to_owned());
            let waits = (index + body) % 3 == 0;
            clients.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // It may be answered, and cut off, before everything is written.
                let _ = tokio::time::timeout(PATIENCE, stream.write_all(&request)).await;
                if waits {
                    let _ = stream.shutdown().await;
                    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
                }
            });
        }
    }
    clients.join_all().await;
}

/// Sends the bytes, and returns the answer and how long the server kept the connection.
async fn send(address: &str, bytes: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = within(PATIENCE, "the server hangs up", stream.read_to_end(&mut answer)).await;
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up_on_every_route() {
    let app = TestApp::start().await;
    let json = "Content-Type: application/json";
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (method, path, headers) in
        [("POST", "/files", json), ("POST", "/ui/files", form), ("POST", "/ui/files/1/delete", form)]
    {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nContent-Length: 9\r\n\r\na");
        let (answer, after) = send(app.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{path}: {answer}");
        assert!(after < Duration::from_secs(14), "{path}: {after:?}");
    }
    // This body is not needed: the answer comes at once.
    let ignored = "POST /files/1/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na";
    let (answer, after) = send(app.address(), ignored.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(after < Duration::from_secs(8), "{after:?}");
    app.stop().await;
}

#[tokio::test]
async fn clients_that_send_slowly_do_not_delay_the_stop() {
    let app = TestApp::start().await;
    let mut clients = Vec::new();
    for request in [
        "POST /ui/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\na",
        "POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        "DELETE /files/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
        "GET /files HTTP/1.1\r\nHost: loc",
    ] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(app.address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            clients.push(stream);
        }
    }
    assert_eq!(app.get("/livez").await.status, 200);
    app.stop_within(Duration::from_secs(8)).await;
    drop(clients);
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_refused_before_it_arrives() {
    let app = TestApp::start().await;
    for (method, path) in
        [("POST", "/files"), ("POST", "/ui/files"), ("POST", "/files/1/cancel"), ("GET", "/")]
    {
        let request = Request::new(method, path)
            .header("Accept", "application/json")
            .header("Content-Length", "524289");
        let answer = request.send(app.address()).await.unwrap();
        assert_eq!(
            (answer.status, answer.problem()["code"].as_str()),
            (413, Some("body_too_large")),
            "{path}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn a_client_of_http_1_0_is_never_sent_chunks() {
    let app = TestApp::start().await;
    for path in ["/", "/files", "/ui/dead-letters"] {
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n"
        );
        let answer = exchange(app.address(), request.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, None), "{path}");
        if answer.header("content-encoding") == Some("gzip") {
            let mut text = String::new();
            GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
            assert!(!text.is_empty());
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_request_for_another_protocol_is_ignored() {
    let app = TestApp::start().await;
    for protocol in ["websocket", "WebSocket", "h2c", "TLS/1.0", "websocket, foo"] {
        let wish = format!("Host: localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n");
        for path in ["/", "/files", "/livez"] {
            let request = format!("GET {path} HTTP/1.1\r\n{wish}Accept-Encoding: gzip\r\n\r\n");
            let (answer, after) = send(app.address(), request.as_bytes()).await;
            let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200 "), "{protocol} {path}: {head}");
            assert!(head.contains("\r\nconnection: close"), "{protocol} {path}: {head}");
            assert!(!head.contains("upgrade"), "{protocol} {path}: {head}");
            assert!(head.contains("\r\ncontent-length: "), "{protocol} {path}: {head}");
            assert!(after < Duration::from_secs(8), "{protocol} {path}: {after:?}");
        }
        let body = r#"{"title":"a"}"#;
        let request = format!(
            "POST /files HTTP/1.1\r\n{wish}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}GET / HTTP/1.1\r\n",
            body.len()
        );
        let (answer, _) = send(app.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{protocol}: {answer}");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_unknown_content_coding_is_refused_with_those_that_are_known() {
    let app = TestApp::start().await;
    let body = r#"{"title":"a"}"#;
    for coding in ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "nonsense", "\"gzip\""] {
        let answer =
            Request::create(body).header("Content-Encoding", coding).send(app.address()).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("accept-encoding")),
            (415, Some("gzip, deflate")),
            "{coding}"
        );
        assert_eq!(answer.problem()["code"], "unsupported_content_encoding", "{coding}");
    }
    for coding in ["identity", "", "identity, identity"] {
        let answer =
            Request::create(body).header("Content-Encoding", coding).send(app.address()).await.unwrap();
        assert_eq!(answer.status, 201, "{coding}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, body.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for coding in ["gzip", "x-gzip", "GZIP", "gzip, identity"] {
        let request = Request::create(gzip.clone()).header("Content-Encoding", coding);
        assert_eq!(request.send(app.address()).await.unwrap().status, 201, "{coding}");
    }
    // A gzip body may have several members (RFC 1952 §2.2), as programs write it that compress in blocks.
    let mut spaces = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut spaces, b"  ").unwrap();
    let members = [gzip, spaces.finish().unwrap()].concat();
    let request = Request::create(members).header("Content-Encoding", "gzip");
    assert_eq!(request.send(app.address()).await.unwrap().status, 201, "two members");
    app.stop().await;
}
