//! `host:port` in `Host`, `Origin` and absolute request targets, and classification of host names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Suffixes that can't be registered publicly, so that no web page from elsewhere can be served under them.
const PRIVATE_SUFFIXES: [&str; 7] = ["localhost", "local", "internal", "home.arpa", "lan", "svc", "test"];
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Host without its port.
#[derive(Debug, Clone, Copy)]
pub enum HostName<'a> {
    Ip(IpAddr),
    /// Name as written, without a final dot.
    Dns(&'a str),
}

impl PartialEq for HostName<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(other)) => one == other,
            (Self::Dns(one), Self::Dns(other)) => one.eq_ignore_ascii_case(other),
            (Self::Ip(_), Self::Dns(_)) | (Self::Dns(_), Self::Ip(_)) => false,
        }
    }
}

/// Host with the port that was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Authority<'a> {
    pub host: HostName<'a>,
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses the value of `Host`. `None` for what RFC 9110 doesn't allow: user names, paths, blanks, lists, empty
    /// names, bad ports.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = if text.starts_with('[') {
            let end = text.find(']')?;
            let address: Ipv6Addr = text[1..end].parse().ok()?;
            (HostName::Ip(IpAddr::V6(address).to_canonical()), &text[end + 1..])
        } else {
            let end = text.find(':').unwrap_or(text.len());
            (HostName::of_dns(&text[..end])?, &text[end..])
        };
        let port = match port {
            "" | ":" => None,
            _ => {
                let digits = port.strip_prefix(':')?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                Some(digits.parse().ok().filter(|port| is_number && *port > 0)?)
            }
        };
        Some(Self { host, port })
    }
}

impl<'a> HostName<'a> {
    /// Parses an IPv4 address or a name. Underscores are allowed, because proxies send the names of their upstreams.
    fn of_dns(text: &'a str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        (name.len() <= MAX_NAME && name.split('.').all(is_label)).then_some(Self::Dns(name))
    }

    /// Tells whether this is a loopback address or name.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.is_loopback(),
            Self::Dns(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Tells whether no web page can use this name for DNS rebinding: it is an address, or not a public name.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Ip(_) => true,
            Self::Dns(name) => {
                !name.contains('.') || PRIVATE_SUFFIXES.iter().any(|suffix| is_below(name, suffix))
            }
        }
    }

    /// Tells whether this is a name below `suffix`, at any depth.
    pub fn is_below(&self, suffix: &str) -> bool {
        matches!(self, Self::Dns(name) if is_below(name, suffix))
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    let Some(start) = name.len().checked_sub(suffix.len()).filter(|start| *start > 1) else {
        return false;
    };
    name.is_char_boundary(start)
        && name[start..].eq_ignore_ascii_case(suffix)
        && name.as_bytes()[start - 1] == b'.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName<'_> {
        Authority::parse(text).unwrap_or_else(|| panic!("{text:?} is one")).host
    }

    #[test]
    fn a_host_is_read_with_and_without_its_port() {
        for (text, port) in [
            ("localhost", None),
            ("LOCALHOST:3006", Some(3006)),
            ("localhost.:80", Some(80)),
            ("127.0.0.1:", None),
            ("[::1]", None),
            ("[::1]:3006", Some(3006)),
            ("[::ffff:127.0.0.1]:1", Some(1)),
        ] {
            let read = Authority::parse(text).unwrap();
            assert!(read.host.is_loopback(), "{text}");
            assert_eq!(read.port, port, "{text}");
        }
        assert_eq!(host("Files.Example."), host("files.example"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "..",
            ":",
            ":80",
            "localhost:x",
            "localhost:+80",
            "localhost:65536",
            "localhost:0",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%eth0]",
            "[127.0.0.1]",
            "user@localhost",
            "localhost/",
            "localhost?",
            "localhost,localhost",
            "localhost localhost",
            "a..b",
            "localhost..",
            "http://a",
            "%6c",
            "loc\u{e4}l",
            "a\\b",
            "a#b",
        ] {
            assert!(Authority::parse(text).is_none(), "{text:?}");
        }
        assert!(Authority::parse(&"a".repeat(64)).is_none());
        assert!(Authority::parse(&"a.".repeat(128)).is_none());
    }

    #[test]
    fn names_that_only_look_like_loopback_are_not() {
        for text in [
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0.0.0.0",
            "2130706433",
            "128.0.0.1",
        ] {
            assert!(!host(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn public_names_are_distinguished_from_private_ones() {
        for text in [
            "serve:3006",
            "10.0.0.7",
            "[fd00::1]",
            "nas.local",
            "a.b.SVC",
            "x.home.arpa",
            "db.svc",
            "app.localhost",
        ] {
            assert!(host(text).is_private(), "{text}");
        }
        for text in
            ["evil.example", "local.evil.example", "xlocal.example", "a.notlocal", "127.1", "home.arpa"]
        {
            assert!(!host(text).is_private(), "{text}");
        }
    }
}
