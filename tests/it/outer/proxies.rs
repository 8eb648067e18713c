//! Behind nginx in the ways that people configure it, with and without a sub-path and TLS.

use filesys::domain::File;
use reqwest::Method;
use serde_json::json;

use crate::support::certificates::Authority;
use crate::support::nginx::Nginx;
use crate::support::{Answer, Api, Ports, TestApp, eventually, holds};

/// Configurations of nginx: `proxy_pass` alone, and with the headers that people set.
const HEADERS: [&str; 4] = [
    "",
    "proxy_set_header Host $host;",
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $http_host; \
     proxy_set_header X-Forwarded-Proto $scheme;",
];

/// Checks that a browser that sends only `Origin` and keeps no cookies can use the service at this address.
async fn can_be_used(outer: &Api, what: &str) {
    let (origin, path) = split(&outer.base);
    let page = outer.get("/").await.ok();
    let text = page.text();
    for part in text.split([' ', '\n', '>']).filter_map(|part| {
        let (name, address) = part.split_once("=\"")?;
        ["href", "src", "action", "data-poll"].contains(&name).then(|| address.trim_end_matches('"'))
    }) {
        assert!(part.starts_with(&format!("{path}/")) || part.starts_with('#'), "{what}: {part} in {text}");
    }
    let at = async |address: &str| Api::get(outer, address.strip_prefix(path).unwrap()).await.ok();
    let between =
        |before: &str| text.split_once(before).unwrap().1.split_once('"').unwrap().0.replace("&#38;", "&");
    assert_eq!(
        at(&between("rel=\"stylesheet\" href=\"")).await.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert!(at(&between("data-poll=\"")).await.text().contains("class=\"tiles\""));

    let form = [("key", between("name=\"key\" value=\"")), ("title", "by form".to_owned())];
    let send = async |origin: &str| {
        Answer::of(outer.request(Method::POST, "/ui/files").header("origin", origin).form(&form)).await
    };
    let posted = send(origin).await;
    let location = posted.header("location").unwrap_or_default().to_owned();
    assert!(
        posted.status == 303 && location.starts_with(&format!("{path}/?created=")),
        "{what}: {}",
        posted.text()
    );
    assert!(at(&location).await.text().contains("is on its way"), "{what}");
    let refused = send("https://evil.example").await;
    assert_eq!(refused.status, 403, "{what}");
    assert!(refused.text().contains("value=\"by form\""), "{what}");

    let made = outer.post(&json!({"title": "by program"})).await;
    let file: File = made.json();
    assert_eq!(made.header("location"), Some(&*format!("{}/files/{}", outer.base, file.id)), "{what}");
    let list = outer.get("/files?limit=1").await.ok();
    assert!(list.header("link").unwrap().starts_with(&format!("<{}/files?", outer.base)), "{what}");
    let nothing = outer.get_with("/nothing", "accept", "text/html").await;
    assert!(nothing.text().contains(&format!("href=\"{path}/\"")), "{what}");
}

/// Splits a URL into origin and sub-path.
fn split(base: &str) -> (&str, &str) {
    let end = base.match_indices('/').nth(2).map_or(base.len(), |(at, _)| at);
    base.split_at(end)
}

#[tokio::test]
async fn behind_nginx_everything_works_once_the_outer_address_is_set() {
    let ports = Ports::reserve();
    let base = format!("http://files.example:{}", ports.first);
    let app = TestApp::start_at(&[("BASE_URL", &base), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    for headers in HEADERS {
        let locations = format!("location / {{ proxy_pass {}; {headers} }}", app.base);
        let Some(nginx) = Nginx::start(ports.first, None, &locations).await else { return };
        can_be_used(&Api::through(&base, None), headers).await;
        nginx.stop().await;
    }
    // Direct access goes on as before.
    assert_eq!(app.get("/files").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_sub_path_may_be_taken_off_by_the_proxy_or_left_in() {
    let ports = Ports::reserve();
    let base = format!("http://files.example:{}/team/files", ports.first);
    let app = TestApp::start_at(&[("BASE_URL", &base)]).await;
    for (slash, headers) in [("/", HEADERS[0]), ("/", HEADERS[1]), ("", HEADERS[2]), ("", HEADERS[3])] {
        let locations = format!("location /team/files/ {{ proxy_pass {}{slash}; {headers} }}", app.base);
        let Some(nginx) = Nginx::start(ports.first, None, &locations).await else { return };
        let outer = Api::through(&base, None);
        can_be_used(&outer, &locations).await;
        assert_eq!(outer.get("/readyz").await.status, 200);
        nginx.stop().await;
    }
    app.stop().await;
}

#[tokio::test]
async fn behind_tls_the_cookie_is_secure_and_the_clients_address_is_logged() {
    let ports = Ports::reserve();
    let authority = Authority::new();
    let pair = authority.sign(&["files.example"]);
    for (path, cookie) in [("", "__Host-filesys_csrf="), ("/sub", "__Secure-filesys_csrf=")] {
        let base = format!("https://files.example:{}{path}", ports.first);
        let app = TestApp::start_at(&[
            ("BASE_URL", &base),
            ("TRUSTED_PROXIES", "127.0.0.0/8"),
            ("RUST_LOG", "filesys::http=debug"),
        ])
        .await;
        let headers = "proxy_set_header X-Forwarded-For \"6.6.6.6, 192.0.2.77\";";
        let locations = format!("location {path}/ {{ proxy_pass {}/; {headers} }}", app.base);
        let Some(nginx) = Nginx::start(ports.first, Some(&pair), &locations).await else { return };
        let outer = Api::through(&base, Some(&authority));
        can_be_used(&outer, &base).await;
        let page = outer.get("/").await.ok();
        let set = page.header("set-cookie").unwrap();
        let scope =
            format!("; HttpOnly; SameSite=Lax; Secure; Path={}", if path.is_empty() { "/" } else { path });
        assert!(set.starts_with(cookie) && set.ends_with(&scope), "{set}");
        eventually("the client is logged", async || {
            let log = app.process.log();
            holds(log.contains("192.0.2.77") && !log.contains("6.6.6.6"), log)
        })
        .await;
        nginx.stop().await;
        app.stop().await;
    }
}

#[tokio::test]
async fn without_the_outer_address_a_refusal_behind_a_proxy_says_what_to_set() {
    let ports = Ports::reserve();
    let base = format!("http://files.example:{}", ports.first);
    let app = TestApp::start().await;
    let outer = Api::through(&base, None);
    let start = async |headers: &str| {
        let locations = format!("location / {{ proxy_pass {}; {headers} }}", app.base);
        Nginx::start(ports.first, None, &locations).await
    };
    let Some(nginx) = start("").await else { return };
    assert_eq!(outer.get("/").await.status, 200);
    let form = [("title", "typed before")];
    let request = outer.request(Method::POST, "/ui/files").header("origin", &base).form(&form);
    let refused = Answer::of(request).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("BASE_URL must be set"), "{}", refused.text());
    assert!(refused.text().contains("value=\"typed before\""), "{}", refused.text());
    nginx.stop().await;

    let nginx = start(HEADERS[1]).await.unwrap();
    let refused = outer.get("/files").await;
    assert_eq!(refused.status, 421);
    assert!(refused.problem()["detail"].as_str().unwrap().contains("BASE_URL must be set"));
    // This proxy is not a trusted one.
    let spoofed = app.get_with("/files", "x-forwarded-host", "evil.example").await;
    assert_eq!(spoofed.status, 200);
    nginx.stop().await;
    app.stop().await;
}
