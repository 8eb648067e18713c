//! Tests of hosts, origins and sub-paths.

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::test::TestRequest;

use super::*;
use crate::config::Env;

/// Reads the outer address from these settings.
pub(in crate::http) fn outer(settings: &[(&str, &str)]) -> OuterAddress {
    let mut env = Env::of(settings.iter().copied());
    let outer = OuterAddress::new(&HttpConfig::read(&mut env));
    env.finish().unwrap();
    outer
}

fn request(target: &str, headers: &[(&'static str, &str)]) -> HttpRequest {
    let bare = TestRequest::get().uri(target).peer_addr("127.0.0.1:9".parse().unwrap());
    headers.iter().fold(bare, |request, header| request.append_header(*header)).to_http_request()
}

fn code(outer: &OuterAddress, target: &str, headers: &[(&'static str, &str)]) -> &'static str {
    outer.check_host(request(target, headers).head()).err().map_or("", |error| error.code.name())
}

#[test]
fn on_loopback_only_loopback_and_the_hosts_that_were_named_are_answered() {
    let named =
        outer(&[("BASE_URL", "https://files.example/x"), ("ALLOWED_HOSTS", "other.example,192.0.2.1")]);
    for (host, plainly, by_name) in [
        ("localhost", true, true),
        ("LocalHost.:80", true, true),
        ("127.0.0.1:3006", true, true),
        ("127.9.9.9", true, true),
        ("[::1]:3006", true, true),
        ("files.example", false, true),
        ("FILES.example.:443", false, true),
        ("other.example:1", false, true),
        ("192.0.2.1", false, true),
        ("192.0.2.2", false, false),
        ("evil.example", false, false),
        ("localhost.evil.example", false, false),
        ("serve:3006", false, false),
        ("0.0.0.0:3006", false, false),
        ("127.1", false, false),
        ("[fe80::1]", false, false),
    ] {
        for (outer, answered) in [(&outer(&[]), plainly), (&named, by_name)] {
            let code = code(outer, "/files", &[("host", host)]);
            assert_eq!(code, if answered { "" } else { "host_not_allowed" }, "{host}");
        }
        assert_eq!(code(&outer(&[]), "/readyz", &[("host", host)]), "", "a probe by {host}");
    }
}

#[test]
fn elsewhere_addresses_and_private_names_are_answered_too_and_public_names_when_named() {
    for settings in [&[("HOST", "0.0.0.0")][..], &[("HOST", "::")], &[("HOST", "192.0.2.1")]] {
        let outer = outer(settings);
        for host in
            ["serve:3006", "10.0.0.7:3006", "localhost:3006", "nas.local", "x.default.svc", "[fd00::1]"]
        {
            assert_eq!(code(&outer, "/files", &[("host", host)]), "", "{host}");
        }
        assert_eq!(code(&outer, "/files", &[("host", "evil.example")]), "host_not_allowed");
    }
    let any = outer(&[("HOST", "0.0.0.0"), ("ALLOWED_HOSTS", "*")]);
    assert_eq!(code(&any, "/files", &[("host", "evil.example")]), "");
}

#[test]
fn hosts_that_are_missing_doubled_or_malformed_are_refused_on_probes_too() {
    let outer = outer(&[]);
    for headers in [
        &[][..],
        &[("host", "localhost"), ("host", "localhost")],
        &[("host", "")],
        &[("host", "user@localhost")],
        &[("host", "localhost:x")],
        &[("host", "localhost, localhost")],
        &[("host", "::1")],
        &[("host", "http://localhost")],
    ] {
        assert_eq!(code(&outer, "/livez", headers), "invalid_host", "{headers:?}");
    }
    let old = TestRequest::get().version(Version::HTTP_10).to_http_request();
    assert!(outer.check_host(old.head()).is_ok());
}

#[test]
fn the_host_of_an_absolute_target_counts() {
    let outer = outer(&[]);
    let host = &[("host", "localhost")];
    assert_eq!(code(&outer, "http://localhost:3006/files", &[("host", "evil.example")]), "");
    assert_eq!(code(&outer, "http://evil.example/files", host), "host_not_allowed");
    assert_eq!(code(&outer, "http://user@localhost/files", host), "invalid_host");
    assert_eq!(code(&outer, "ftp://localhost/files", host), "invalid_host");
    assert_eq!(code(&outer, "http://localhost/files", &[]), "invalid_host");
}

#[test]
fn only_trusted_proxies_are_believed() {
    let headers =
        &[("host", "backend"), ("x-forwarded-host", "files.example"), ("x-forwarded-for", "192.0.2.1")];
    let base = ("BASE_URL", "https://files.example");
    let trusting = outer(&[base, ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    assert_eq!(code(&trusting, "/files", headers), "");
    assert_eq!(code(&outer(&[base]), "/files", headers), "host_not_allowed");
    let spoofed = &[("host", "localhost"), ("x-forwarded-host", "evil.example")];
    assert_eq!(code(&trusting, "/files", spoofed), "host_not_allowed");
    assert_eq!(code(&outer(&[base]), "/files", spoofed), "");
    let client =
        |outer: &OuterAddress| outer.client_address(request("/", headers).head()).unwrap().to_string();
    assert_eq!(client(&trusting), "192.0.2.1");
    assert_eq!(client(&outer(&[base])), "127.0.0.1");
}

fn sender(outer: &OuterAddress, host: &str, origin: &str) -> bool {
    outer.sender(request("/", &[("host", host), ("origin", origin)]).head()) == Sender::Own
}

#[test]
fn an_origin_is_ours_when_it_is_that_of_the_outer_address_or_of_the_host_that_was_asked() {
    let plain = outer(&[]);
    for (host, origin, own) in [
        ("localhost:3006", "http://localhost:3006", true),
        ("LOCALHOST:3006", "http://localhost:3006", true),
        ("[::1]:3006", "http://[::1]:3006", true),
        ("localhost", "http://localhost", true),
        ("localhost:80", "http://localhost", true),
        ("localhost:443", "https://localhost", true),
        ("localhost:3006", "http://127.0.0.1:3006", false),
        ("localhost:3006", "http://localhost:3007", false),
        ("localhost:3006", "null", false),
        ("localhost:3006", "", false),
        ("localhost:3006", "localhost:3006", false),
        ("localhost:3006", "file://localhost:3006", false),
        ("localhost:3006", "http://localhost:3006/", false),
        ("localhost:3006", "http://user@localhost:3006", false),
        ("127.0.0.1:3006", "https://files.example", false),
    ] {
        assert_eq!(sender(&plain, host, origin), own, "{host} {origin}");
    }
    let based = outer(&[("BASE_URL", "https://files.example:8443/x")]);
    for (host, origin, own) in [
        ("127.0.0.1:3006", "https://files.example:8443", true),
        ("files.example", "https://files.example:8443", true),
        ("files.example", "http://files.example", false),
        ("files.example:8443", "http://files.example:8443", false),
        ("files.example", "https://files.example", false),
        ("127.0.0.1:3006", "http://127.0.0.1:3006", true),
        ("127.0.0.1:3006", "https://evil.example", false),
    ] {
        assert_eq!(sender(&based, host, origin), own, "{host} {origin}");
    }
}

#[test]
fn behind_a_trusted_proxy_the_origin_is_compared_with_what_the_proxy_was_asked() {
    let outer = outer(&[("TRUSTED_PROXIES", "127.0.0.1"), ("ALLOWED_HOSTS", "files.example")]);
    let own = |proto, origin| {
        let headers = &[
            ("host", "127.0.0.1:3006"),
            ("x-forwarded-host", "files.example"),
            ("x-forwarded-proto", proto),
            ("origin", origin),
        ];
        outer.sender(request("/", headers).head()) == Sender::Own
    };
    assert!(own("https", "https://files.example"));
    assert!(!own("https", "http://files.example"));
    assert!(!own("https", "http://127.0.0.1:3006"));
    assert!(own("http", "http://files.example"));
}

#[test]
fn sec_fetch_site_decides_before_the_origin() {
    let outer = outer(&[]);
    let sent = |headers: &[(&'static str, &str)]| outer.sender(request("/", headers).head()) == Sender::Own;
    assert!(sent(&[("sec-fetch-site", "same-origin"), ("origin", "https://proxied.example")]));
    assert!(sent(&[("sec-fetch-site", "none")]));
    for site in ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site"] {
        let headers = &[("sec-fetch-site", site), ("origin", "http://localhost"), ("host", "localhost")];
        assert!(!sent(headers), "{site}");
    }
    assert!(!sent(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
    assert_eq!(outer.sender(request("/", &[]).head()), Sender::Unknown);
}

#[test]
fn a_refusal_says_what_to_set() {
    let plain = outer(&[]);
    let request = request("/", &[("host", "127.0.0.1:3006"), ("origin", "https://files.example")]);
    let refusal = plain.refusal(request.head(), &plain.sender(request.head())).unwrap();
    for part in ["https://files.example", "127.0.0.1:3006", "BASE_URL must be set"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn the_sub_path_is_taken_off_where_a_proxy_left_it() {
    for (base, path, below) in [
        ("http://h/sub", "/sub", Some("/")),
        ("http://h/sub", "/sub/", Some("/")),
        ("http://h/sub", "/sub/files/1", Some("/files/1")),
        ("http://h/sub", "/sub/ui/files", Some("/ui/files")),
        ("http://h/sub", "/subfiles", None),
        ("http://h/sub", "/sub//files", None),
        ("http://h/sub", "/files/1", None),
        ("http://h/sub", "/", None),
        ("http://h", "/files/1", None),
        ("http://h/a/b", "/a/b/readyz", Some("/readyz")),
        ("http://h/files", "/files", None),
        ("http://h/files", "/files/", Some("/")),
        ("http://h/files", "/files/files", Some("/files")),
        ("http://h/files", "/files/files/1", Some("/files/1")),
        ("http://h/files", "/files/1", None),
        ("http://h/files", "/files/stats", None),
        ("http://h/files", "/files/ui/files/1", Some("/ui/files/1")),
    ] {
        assert_eq!(outer(&[("BASE_URL", base)]).below_prefix(path), below, "{base} {path}");
    }
}

#[test]
fn addresses_for_programs_are_whole_with_an_outer_address_and_relative_without() {
    assert_eq!(outer(&[]).address("/files/1"), "/files/1");
    assert_eq!(outer(&[("BASE_URL", "https://h/sub/")]).address("/files/1"), "https://h/sub/files/1");
}
