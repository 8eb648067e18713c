//! `BASE_URL`: the address at which clients reach the service, whatever proxies are in between.

use std::fmt;

use url::Url;

use super::authority::{Authority, HostName};

/// Checked address, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `scheme://host[:port]`, as browsers write it in `Origin`.
    origin: String,
    /// `host[:port]`
    authority: String,
    port: u16,
    /// Empty, or `/` and segments.
    path: String,
}

impl BaseUrl {
    /// Parses an address. The error has all of its problems, each of which completes "NAME …".
    pub fn parse(text: &str) -> Result<Self, Vec<&'static str>> {
        let lower = text.to_ascii_lowercase();
        let mut problems = Vec::new();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            problems.push("does not begin with http:// or https://");
        }
        let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
            problems.push("is not a URL like https://files.example/sub-path");
            return Err(problems);
        };
        if !url.username().is_empty() || url.password().is_some() {
            problems.push("must not have a user or password");
        }
        if url.query().is_some() {
            problems.push("must not have a query (?)");
        }
        if url.fragment().is_some() {
            problems.push("must not have a fragment (#)");
        }
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if Authority::parse(&authority).is_none() {
            problems.push("has no host that can be in a request");
        }
        let path = url.path().trim_end_matches('/');
        if path.contains("//") {
            problems.push("has an empty segment (//) in its path");
        }
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte)) {
            problems.push("has a path with other characters than letters, digits, - . _ ~ and escapes (%)");
        }
        if path == "/ui" {
            problems.push("can't have the path /ui, which is one of the service's own");
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            origin: format!("{}://{authority}", url.scheme()),
            authority,
            port: url.port_or_known_default().unwrap_or(80),
            path: path.to_owned(),
        })
    }

    /// Returns `scheme://host[:port]`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the path: empty, or `/` and segments, without a final slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tells whether the address is an https one.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// Tells whether the address has this host.
    pub fn has_host(&self, host: HostName<'_>) -> bool {
        Authority::parse(&self.authority).is_some_and(|own| own.host == host)
    }

    /// Tells whether a request to this authority came by this address. Proxies may leave out the port.
    pub fn is_at(&self, authority: Authority<'_>) -> bool {
        self.has_host(authority.host) && authority.port.is_none_or(|port| port == self.port)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.origin, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_as_browsers_write_it() {
        for (text, printed, path) in [
            ("http://localhost", "http://localhost/", ""),
            ("HTTPS://Files.Example.:443/", "https://files.example/", ""),
            ("https://files.example:8443/a/b/", "https://files.example:8443/a/b/", "/a/b"),
            ("http://[::1]:80/x", "http://[::1]/x/", "/x"),
            ("http://a/b/../c/./d//", "http://a/c/d/", "/c/d"),
            ("https://d\u{e4}teien.example/", "https://xn--dteien-bua.example/", ""),
        ] {
            let base = BaseUrl::parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            assert_eq!((base.to_string().as_str(), base.path()), (printed, path), "{text}");
        }
    }

    #[test]
    fn every_problem_of_an_address_is_named() {
        let problems = BaseUrl::parse("https://u:p@h//a;b?q#f").unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:?}");
        let problems = BaseUrl::parse("ftp://u:p@h/ui#f").unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        for text in [
            "files.example",
            "files.example:8080",
            "//files.example",
            "/sub",
            "ftp://h",
            "http:h",
            "http://",
            "http:///",
            "https://h:99999",
            "https://h:0",
            "https://h a/",
            "https://*.example",
            "https://h/ui",
            "https://h/a//b",
            "https://h?",
            "https://h/#",
            "https://u@h",
            "https://h/a'b",
            "javascript://h/",
            "http://[::1",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_may_leave_out_the_port() {
        let base = BaseUrl::parse("http://files.example:8080").unwrap();
        let at = |text| base.is_at(Authority::parse(text).unwrap());
        assert!(at("files.example") && at("FILES.example.:8080"));
        assert!(!at("files.example:80") && !at("other.example:8080"));
    }
}
