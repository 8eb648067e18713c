//! Clients that send heads slowly, never read, or write into the log: what they take is bounded, and released.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::raw::exchange;
use crate::support::{PATIENCE, TestApp, eventually, holds, within};

/// Sends a second head byte by byte on a connection that has been answered once. Returns how long the connection lasted.
async fn second_head(address: &str) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /livez HTTP/1.1\r\nX: ").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let read = async {
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut answer).await;
    };
    let write = async {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    within(PATIENCE, "the server hangs up", async {
        tokio::select! { () = read => (), () = write => () }
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    begun.elapsed()
}

#[tokio::test]
async fn a_slow_head_is_given_up_on_a_connection_that_was_used_before() {
    let app = TestApp::start().await;
    let held = second_head(app.address()).await;
    assert!(held < Duration::from_secs(14), "{held:?}");
    app.stop().await;
}

#[tokio::test]
async fn clients_that_never_read_are_disconnected_and_others_are_not_affected() {
    const CLIENTS: usize = 40;
    let app = TestApp::start().await;
    let body = serde_json::json!({"title": "a", "description": "d".repeat(60_000)});
    let id = app.post(&body).await.json::<serde_json::Value>()["id"].to_string();
    app.wait_until_all_completed().await;
    let idle = app.process.resident();
    // Twelve megabytes for each.
    let requests = format!("GET /files/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(200);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(app.address().parse().unwrap()).await.unwrap();
        stream.write_all(requests.as_bytes()).await.unwrap();
        clients.push(stream);
    }
    let mut most = 0;
    eventually("all are cut off", async || {
        most = most.max(app.process.resident());
        assert_eq!(app.get("/livez").await.status, 200);
        let connections = app.process.connections();
        // The client of this test has one.
        holds(connections <= 1, connections)
    })
    .await;
    assert!(most.saturating_sub(idle) < 64 << 20, "from {idle} to {most} bytes");
    drop(clients);
    app.stop().await;
}

/// Sends the bytes, then one more each second until the connection ends.
async fn trickle(address: String, bytes: Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let write = async {
        let _ = writer.write_all(&bytes).await;
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    // A reset is an end, too.
    let read = async { drop(reader.read_to_end(&mut answer).await) };
    within(PATIENCE, "the server hangs up", async {
        tokio::select! { () = read => (), () = write => () }
    })
    .await;
}

#[tokio::test]
async fn slow_clients_take_little_memory_together_and_release_it() {
    const OF_EACH: usize = 100;
    let app = TestApp::start().await;
    let idle = app.process.resident();
    let body = |path: &str, kind: &str, start: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 500000\r\n\r\n"
        );
        [head.into_bytes(), start.as_bytes().to_vec(), vec![b' '; 400_000]].concat()
    };
    let kinds = [
        b"GET /files HTTP/1.1\r\nX: ".to_vec(),
        body("/files", "application/json", "{"),
        body("/ui/files", "application/x-www-form-urlencoded", "title="),
        b"GET /files HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000),
    ];
    let clients: Vec<_> = (0..OF_EACH)
        .flat_map(|_| &kinds)
        .map(|bytes| tokio::spawn(trickle(app.address().to_owned(), bytes.clone())))
        .collect();
    let mut most = 0;
    eventually("all are cut off", async || {
        most = most.max(app.process.resident());
        assert_eq!(app.get("/livez").await.status, 200);
        let left = clients.iter().filter(|client| !client.is_finished()).count();
        holds(left == 0, left)
    })
    .await;
    assert!(most.saturating_sub(idle) < 96 << 20, "from {idle} to {most} bytes");
    eventually("the memory is given back", async || {
        let now = app.process.resident();
        holds(now.saturating_sub(idle) < 48 << 20, (idle, most, now))
    })
    .await;
    for client in clients {
        client.await.unwrap();
    }
    app.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_all_answered_in_their_order() {
    const ROUNDS: usize = 200;
    let app = TestApp::start().await;
    let id = app.completed_file("one").await.id;
    let mut requests = Vec::new();
    for round in 0..ROUNDS {
        // From nothing to more than is received ahead of its reader.
        let description = "d".repeat(round * 100);
        let body = format!(r#"{{"title":"file {round}","description":"{description}"}}"#);
        let length = body.len();
        requests.extend_from_slice(
            format!(
                "GET /files/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n\
                 POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}\
                 DELETE /files/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{}",
                "x".repeat(9000)
            )
            .as_bytes(),
        );
    }
    requests.extend_from_slice(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answers = String::new();
    within(PATIENCE, "every request is answered", async {
        let (written, read) = tokio::join!(writer.write_all(&requests), reader.read_to_string(&mut answers));
        written.unwrap();
        read.unwrap();
    })
    .await;
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap_or_default()).collect();
    let expected: Vec<&str> = (0..ROUNDS).flat_map(|_| ["200", "201", "400"]).chain(["200"]).collect();
    assert_eq!(statuses, expected);
    app.stop().await;
}

#[tokio::test]
async fn clients_that_never_read_do_not_delay_the_stop() {
    let app = TestApp::start().await;
    let body = serde_json::json!({"title": "a", "description": "d".repeat(60_000)});
    let id = app.post(&body).await.json::<serde_json::Value>()["id"].to_string();
    let requests = format!("GET /files/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(200);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(requests.as_bytes()).await.unwrap();
        clients.push(stream);
    }
    app.stop_within(Duration::from_secs(10)).await;
    drop(clients);
}

#[tokio::test]
async fn as_many_files_may_be_open_as_the_system_allows() {
    let app = TestApp::start().await;
    let (soft, hard) = app.process.open_files();
    assert_eq!(soft, hard.min(65_536));
    app.stop().await;
}

#[tokio::test]
async fn client_errors_are_counted_and_not_logged_one_by_one() {
    let app = TestApp::start_with(&[("RUST_LOG", "warn,filesys=info")]).await;
    for _ in 0..50 {
        exchange(app.address(), b"\x16\x03\x01 nonsense\r\n\r\n").await;
        assert_eq!(app.get("/files/none").await.status, 400);
    }
    let ground = app.stop().await;
    let log = std::fs::read_to_string(ground.log()).unwrap();
    assert!(!log.contains("ERROR") && !log.contains("actix"), "{log}");
    assert!(log.lines().count() < 40, "{log}");
    assert!(log.contains("client errors refused=50 malformed=50"), "{log}");
}

#[tokio::test]
async fn a_value_from_outside_never_begins_a_line_of_the_log() {
    for format in ["text", "json"] {
        let app = TestApp::start_with(&[("LOG_FORMAT", format), ("RUST_LOG", "debug")]).await;
        let id = app.post_file("one").await.id;
        for forged in [
            "\\n[2026-11-27T00:00:00.000Z INFO  filesys::actions] FORGED",
            "\\u2028FORGED",
            "\\u001b[2KFORGED",
        ] {
            let value = format!(r#"{{"fileId":{id},"status":"x{forged}","error":"{forged}"}}"#);
            app.publish("file.created", &value).await;
        }
        eventually("they are dead letters", async || {
            let dead_letters: serde_json::Value = app.get("/dead-letters").await.json();
            holds(dead_letters.as_array().is_some_and(|dead_letters| dead_letters.len() == 3), dead_letters)
        })
        .await;
        let ground = app.stop().await;
        let log = std::fs::read_to_string(ground.log()).unwrap();
        assert!(log.contains("FORGED"), "they are told of");
        for line in log.split(['\n', '\r', '\u{2028}', '\u{85}']) {
            assert!(
                !line.starts_with("FORGED") && !line.contains("] FORGED") || line.contains("\\n["),
                "{line}"
            );
        }
        assert!(!log.contains('\u{1b}') && !log.contains('\u{2028}'));
    }
}

#[tokio::test]
async fn a_file_that_turns_out_well_takes_one_line_of_the_log() {
    let app = TestApp::start_with(&[("RUST_LOG", "warn,filesys=info")]).await;
    // The members of the groups have joined once a file is made.
    app.completed_file("first").await;
    let before = app.process.log().lines().count();
    app.post_files((0..30).map(|n| format!("file {n}"))).await;
    app.wait_until_all_completed().await;
    let log = app.process.log();
    let added = log.lines().skip(before).count();
    assert!(added <= 34, "{added} lines\n{log}");
    app.stop().await;
}
