//! Hosts that a server answers to, and what it answers to others (DNS rebinding).

use crate::support::raw::exchange;
use crate::support::{Answer, Ports, TestApp};

/// Sends GET with this target and these header lines.
async fn get(address: &str, target: &str, headers: &str) -> Answer {
    let bytes = format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    exchange(address, bytes.as_bytes()).await.expect("an answer")
}

async fn delete(address: &str, host: &str) -> Answer {
    let bytes = format!("DELETE /files/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(address, bytes.as_bytes()).await.expect("an answer")
}

#[tokio::test]
async fn on_loopback_a_foreign_host_reaches_nothing_but_the_probes() {
    let app = TestApp::start_with(&[("ALLOWED_HOSTS", "other.example")]).await;
    let address = app.address().to_owned();
    app.completed_file("stays").await;
    for host in [
        "evil.example",
        "EVIL.example.",
        "localhost.evil.example",
        "192.0.2.1:80",
        "serve",
        "127.1",
        "0.0.0.0",
    ] {
        let refused = delete(&address, host).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (421, &"host_not_allowed".into()), "{host}");
        assert!(refused.text().contains("BASE_URL") && refused.text().contains("ALLOWED_HOSTS"));
        for path in ["/", "/files", "/assets/app.0.css", "/nothing"] {
            assert_eq!(get(&address, path, &format!("Host: {host}\r\n")).await.status, 421, "{host} {path}");
        }
        let probe = get(&address, "/readyz", &format!("Host: {host}\r\n")).await;
        assert_eq!(probe.status, 200, "{host}");
    }
    for host in
        ["localhost", "LOCALHOST.:1", "127.8.7.6", "[::1]:3006", "[::ffff:127.0.0.1]", "Other.Example:9"]
    {
        assert_eq!(get(&address, "/files/1", &format!("Host: {host}\r\n")).await.status, 200, "{host}");
    }
    let page = get(&address, "/", "Host: evil.example\r\nAccept: text/html\r\n").await;
    assert_eq!((page.status, page.header("content-type")), (421, Some("text/html; charset=utf-8")));
    assert_eq!(get(&address, "http://evil.example/files", "Host: localhost\r\n").await.status, 421);
    assert_eq!(get(&address, "http://localhost/files", "Host: evil.example\r\n").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_malformed_host_is_a_bad_request() {
    let app = TestApp::start().await;
    for host in [
        "",
        "user@localhost",
        "localhost:x",
        "localhost:99999",
        "localhost, localhost",
        "localhost evil",
        "::1",
        "[::1",
        "http://localhost",
        "localhost/",
        "a..b",
        "%6cocalhost",
        "loc\u{e4}lhost",
    ] {
        let answer = get(app.address(), "/livez", &format!("Host: {host}\r\n")).await;
        assert_eq!(answer.status, 400, "{host}");
        assert_eq!(answer.problem()["code"], "invalid_host", "{host}");
    }
    let user = get(app.address(), "http://user@localhost/livez", "Host: localhost\r\n").await;
    assert_eq!(user.problem()["code"], "invalid_host");
    for headers in ["", "Host: localhost\r\nHost: localhost\r\n"] {
        assert_eq!(get(app.address(), "/livez", headers).await.status, 400, "{headers}");
    }
    let old = exchange(app.address(), b"GET /livez HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(old.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_server_for_the_network_answers_to_addresses_and_private_names() {
    let ports = Ports::reserve();
    let port = ports.first.to_string();
    let app = TestApp::start_with(&[("HOST", "0.0.0.0"), ("PORT", &port)]).await;
    assert_eq!(app.base, format!("http://127.0.0.1:{port}"));
    for host in
        ["serve:3006", "localhost:3006", "10.1.2.3", "[fd00::7]:3006", "nas.local", "files.default.svc"]
    {
        assert_eq!(get(app.address(), "/files", &format!("Host: {host}\r\n")).await.status, 200, "{host}");
    }
    assert_eq!(delete(app.address(), "evil.example").await.status, 421);
    app.stop().await;
}
