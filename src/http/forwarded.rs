//! Headers in which proxies report the original request: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::config::outer::Networks;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Request as the outermost trusted proxy received it. `None`: not reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) client: Option<IpAddr>,
    pub(super) host: Option<String>,
    pub(super) is_https: Option<bool>,
}

impl Forwarded {
    /// Reads the headers of a request whose peer is a trusted proxy. If `Forwarded` and `X-Forwarded-*` contradict each other,
    /// neither is believed: a proxy passes on what it does not know, so the client may have sent one of them.
    pub(super) fn read(headers: &HeaderMap, trusted: &Networks) -> Self {
        let standard = standard(headers, trusted);
        let common = common(headers, trusted);
        Self {
            client: agreed(standard.client, common.client),
            host: agreed(standard.host, common.host),
            is_https: agreed(standard.is_https, common.is_https),
        }
    }
}

fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => one.or(other),
    }
}

/// Element of `Forwarded`, added by one proxy.
#[derive(Debug, Default)]
struct Hop {
    client: Option<IpAddr>,
    host: Option<String>,
    is_https: Option<bool>,
}

/// Reads `Forwarded`.
fn standard(headers: &HeaderMap, trusted: &Networks) -> Forwarded {
    let values = headers.get_all(header::FORWARDED).map(|value| value.to_str().ok().and_then(hops));
    // One malformed line makes the count of proxies uncertain, so none of the lines is believed.
    let Some(lists) = values.collect::<Option<Vec<_>>>() else { return Forwarded::default() };
    let mut hops: Vec<Hop> = lists.into_iter().flatten().collect();
    let (client, depth) = outermost(hops.iter().rev().map(|hop| hop.client), trusted);
    let index = hops.len().checked_sub(depth + 1);
    let hop = index.map(|index| hops.swap_remove(index)).unwrap_or_default();
    Forwarded { client, host: hop.host, is_https: hop.is_https }
}

/// Reads the `X-Forwarded-*` headers.
fn common(headers: &HeaderMap, trusted: &Networks) -> Forwarded {
    let clients = list(headers, &X_FORWARDED_FOR);
    let (client, depth) = outermost(clients.iter().rev().map(|text| node(text)), trusted);
    // Some proxies append to these two lists, as all do to that of the clients, others replace them.
    let at_depth = |name| {
        let mut values = list(headers, &name);
        let index = values.len().saturating_sub(depth + 1);
        (index < values.len()).then(|| values.swap_remove(index))
    };
    Forwarded {
        client,
        host: at_depth(X_FORWARDED_HOST).map(str::to_owned),
        is_https: at_depth(X_FORWARDED_PROTO).and_then(is_https),
    }
}

/// Returns the rightmost address that is not a trusted proxy, and its position from the right. Everything to its left may come
/// from the client. If an entry is no address, it is the last one before that entry.
fn outermost(
    from_right: impl Iterator<Item = Option<IpAddr>>,
    trusted: &Networks,
) -> (Option<IpAddr>, usize) {
    let (mut found, mut depth) = (None, 0);
    for (position, client) in from_right.enumerate() {
        let Some(address) = client else { break };
        (found, depth) = (Some(address), position);
        if !trusted.contains(address) {
            break;
        }
    }
    (found, depth)
}

/// Splits a header at its commas, over all its lines.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let values = headers.get_all(name).map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

fn is_https(proto: &str) -> Option<bool> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// Parses an address with or without brackets and port. Returns `None` for `unknown` and for names that stand for an address.
fn node(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()?;
    Some(address.to_canonical())
}

/// Parses one line of `Forwarded`. Returns `None` when it breaks the grammar of RFC 7239 §4.
fn hops(value: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut hop = Hop::default();
    let mut rest = value.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            hops.push(std::mem::take(&mut hop));
            rest = after.trim_start();
            continue;
        }
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = parameter(after)?;
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.client = node(&value),
            "host" => hop.host = Some(value),
            "proto" => hop.is_https = is_https(&value),
            _ => {}
        }
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            return None;
        }
    }
    hops.push(hop);
    Some(hops)
}

/// Parses a token or a quoted string, and returns what follows it as well.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Forwarded {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Forwarded::read(&map, &Networks::parse("127.0.0.1,10.0.0.0/8,fd00::/8").unwrap())
    }

    fn client(headers: &[(&'static str, &str)]) -> Option<String> {
        read(headers).client.map(|address| address.to_string())
    }

    fn told(client: &str, host: Option<&str>, is_https: Option<bool>) -> Forwarded {
        Forwarded { client: client.parse().ok(), host: host.map(str::to_owned), is_https }
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_proxy() {
        for (list, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.0.0.9, 10.0.0.8", "192.0.2.1"),
            ("10.0.0.9,10.0.0.8", "10.0.0.9"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, unknown, 10.0.0.8", "10.0.0.8"),
            ("192.0.2.1, , 10.0.0.8,", "192.0.2.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", list)]).as_deref(), Some(expected), "{list}");
        }
        assert_eq!(client(&[("x-forwarded-for", "192.0.2.1, <script>")]), None);
        let twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&twice).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn the_standard_header_is_read_by_its_grammar() {
        for (value, expected) in [
            (
                "for=192.0.2.1;proto=https;host=files.example",
                told("192.0.2.1", Some("files.example"), Some(true)),
            ),
            ("For=\"[2001:db8::1]:4711\" ; PROTO=http", told("2001:db8::1", None, Some(false))),
            (
                "for=6.6.6.6;host=evil, for=192.0.2.1;host=\"a.example:8080\"",
                told("192.0.2.1", Some("a.example:8080"), None),
            ),
            (
                "for=192.0.2.1;host=outer;proto=https, for=10.0.0.9;host=inner",
                told("192.0.2.1", Some("outer"), Some(true)),
            ),
            ("host=\"a\\\"b\";by=_x;ext=\"1, 2; 3\"", told("", Some("a\"b"), None)),
            ("for=unknown;host=a", told("", Some("a"), None)),
            ("for=_hidden, for=10.0.0.8", told("10.0.0.8", None, None)),
            ("for=192.0.2.1;host=\"unfinished", told("", None, None)),
            ("192.0.2.1", told("", None, None)),
            ("for=1.2.3.4 5.6.7.8", told("", None, None)),
            ("", told("", None, None)),
        ] {
            assert_eq!(read(&[("forwarded", value)]), expected, "{value}");
        }
        let twice = [("forwarded", "for=6.6.6.6"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client(&twice).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn headers_that_contradict_each_other_are_not_believed() {
        let headers = [
            ("forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "files.example"),
        ];
        assert_eq!(read(&headers), told("", None, Some(true)));
        let same = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&same).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn host_and_scheme_are_those_of_the_outermost_trusted_proxy() {
        let two = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.9"),
            ("x-forwarded-host", "evil.example, files.example, inner"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(read(&two), told("192.0.2.1", Some("files.example"), Some(true)));
        let spoofed = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https, http")];
        assert_eq!(read(&spoofed).is_https, Some(false));
        assert_eq!(read(&[("x-forwarded-proto", "HTTPS")]).is_https, Some(true));
        assert_eq!(read(&[("x-forwarded-proto", "gopher")]).is_https, None);
    }
}
