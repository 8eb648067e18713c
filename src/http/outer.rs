//! The service as it is reached from outside: URLs that it gives out, hosts that it answers to, origins that it accepts
//! changes from.

use std::net::IpAddr;

use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};

use super::forwarded::Forwarded;
use super::ui::urls::Urls;
use crate::config::HttpConfig;
use crate::config::outer::{Authority, BaseUrl, OuterConfig};
use crate::domain::{Error, ErrorCode, Result};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// First segments of this service's paths.
const OWN_SEGMENTS: [&str; 7] = ["files", "ui", "dead-letters", "assets", "livez", "readyz", "uploads"];

/// Settings that describe how the service is reached, and what follows from them.
pub struct OuterAddress {
    config: OuterConfig,
    listens_on_loopback: bool,
}

/// Sender of a request, as far as a browser tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sender<'r> {
    /// Page of this service, or a person who typed the address.
    Own,
    /// Program, or browser from before 2020: neither `Sec-Fetch-Site` nor `Origin` was sent.
    Unknown,
    /// Page of another site, by `Sec-Fetch-Site`.
    OtherSite(&'r str),
    /// Page of another origin, by `Origin`.
    OtherOrigin(&'r str),
}

impl OuterAddress {
    pub fn new(http: &HttpConfig) -> Self {
        Self { config: http.outer.clone(), listens_on_loopback: http.host.to_canonical().is_loopback() }
    }

    /// Returns the setting `BASE_URL`.
    pub fn base(&self) -> Option<&BaseUrl> {
        self.config.base_url.as_ref()
    }

    fn prefix(&self) -> &str {
        self.base().map_or("", BaseUrl::path)
    }

    /// Returns the URLs that pages link to and redirect to.
    pub(super) fn urls(&self) -> Urls<'_> {
        Urls::below(self.prefix())
    }

    /// Returns the path of cookies, so that browsers send them to the sub-path and below it only.
    pub(super) fn cookie_path(&self) -> &str {
        self.base().map(BaseUrl::path).filter(|path| !path.is_empty()).unwrap_or("/")
    }

    /// Makes a URL for programs, absolute if `BASE_URL` is set and otherwise relative, from a path that begins with `/`.
    pub(super) fn address(&self, path: &str) -> String {
        match self.base() {
            Some(base) => format!("{}{}{path}", base.origin(), base.path()),
            None => path.to_owned(),
        }
    }

    /// Returns the path without the sub-path, if a proxy has left the sub-path in it.
    pub(super) fn below_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        let prefix = self.prefix();
        let rest = path.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        match rest {
            "" if OWN_SEGMENTS.contains(&&prefix[1..]) => None,
            "" | "/" => Some("/"),
            // The sub-path may be the first segment of one of the service's paths, such as `/files`: it is only removed if the
            // rest is one of them as well.
            _ => {
                let first = rest.strip_prefix('/')?.split('/').next()?;
                OWN_SEGMENTS.contains(&first).then_some(rest)
            }
        }
    }

    /// Returns the client's address: the peer's, or the one that trusted proxies report.
    pub(super) fn client_address(&self, head: &RequestHead) -> Option<IpAddr> {
        // An IPv4 client on a dual-stack socket has an IPv4-mapped address.
        let peer = head.peer_addr?.ip().to_canonical();
        Some(self.forwarded(head).and_then(|forwarded| forwarded.client).unwrap_or(peer))
    }

    /// Tells whether the browser's own connection, to this server or to a proxy, is encrypted.
    pub(super) fn is_https(&self, head: &RequestHead) -> bool {
        match self.base() {
            Some(base) => base.is_https(),
            None => self.forwarded(head).and_then(|forwarded| forwarded.is_https).unwrap_or_default(),
        }
    }

    /// Reads what proxies report, if the peer is a trusted one: any client could send these headers.
    fn forwarded(&self, head: &RequestHead) -> Option<Forwarded> {
        let peer = head.peer_addr?.ip().to_canonical();
        let trusted = &self.config.trusted_proxies;
        trusted.contains(peer).then(|| Forwarded::read(&head.headers, trusted))
    }

    /// Fails for a host that is not this service's: a page that has its own name point to this server (DNS rebinding) sends
    /// such requests. Probes need a well-formed host only, because orchestrators use names and addresses of their own.
    pub(super) fn check_host(&self, head: &RequestHead) -> Result<()> {
        let Some(sent) = sent_host(head)? else { return Ok(()) };
        let forwarded = self.forwarded(head).and_then(|forwarded| forwarded.host);
        let asked = match &forwarded {
            Some(text) => Authority::parse(text).ok_or_else(|| invalid_host("the forwarded host"))?,
            None => sent,
        };
        let is_probe = matches!(head.uri.path(), "/livez" | "/readyz")
            && matches!(head.method, Method::GET | Method::HEAD);
        if is_probe || self.answers_to(asked) {
            return Ok(());
        }
        let text = forwarded.as_deref().unwrap_or_else(|| host_text(head));
        let detail = format!(
            "this server does not answer to the host {text}. If it is reached by that name, set BASE_URL to its address \
             as it is reached, or add the name to ALLOWED_HOSTS; behind a proxy, BASE_URL must be set"
        );
        Err(Error::new(ErrorCode::HostNotAllowed, detail))
    }

    fn answers_to(&self, asked: Authority<'_>) -> bool {
        let host = asked.host;
        host.is_loopback()
            // DNS rebinding needs a name in the public DNS, which addresses and private names are not.
            || (!self.listens_on_loopback && host.is_private())
            || self.base().is_some_and(|base| base.has_host(host))
            || self.config.allowed_hosts.contains(host)
    }

    /// Finds out who sent the request: by `Sec-Fetch-Site`, or, if that is missing, by comparing `Origin` with this service's.
    pub(super) fn sender<'r>(&self, head: &'r RequestHead) -> Sender<'r> {
        let text = |value: &'r HeaderValue| value.to_str().unwrap_or("unreadable");
        let mut sites = head.headers.get_all(SEC_FETCH_SITE).map(text).peekable();
        if sites.peek().is_some() {
            // `none`: typed, or from a bookmark. `same-site` is refused: other services below the same domain are not trusted.
            let other = sites.find(|site| !matches!(*site, "same-origin" | "none"));
            return other.map_or(Sender::Own, Sender::OtherSite);
        }
        let mut origins = head.headers.get_all(header::ORIGIN).map(text).peekable();
        if origins.peek().is_none() {
            return Sender::Unknown;
        }
        origins.find(|origin| !self.is_own_origin(head, origin)).map_or(Sender::Own, Sender::OtherOrigin)
    }

    fn is_own_origin(&self, head: &RequestHead, origin: &str) -> bool {
        if self.base().is_some_and(|base| base.origin().eq_ignore_ascii_case(origin)) {
            return true;
        }
        let forwarded = self.forwarded(head).unwrap_or_default();
        let asked = Authority::parse(forwarded.host.as_deref().unwrap_or_else(|| host_text(head)));
        let (is_https, rest) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return false,
        };
        let (Some(asked), Some(from)) = (asked, Authority::parse(rest)) else { return false };
        // Who asks by the host of `BASE_URL` must come from its origin, scheme and port included.
        if self.base().is_some_and(|base| base.is_at(asked)) {
            return false;
        }
        // A browser leaves out the scheme's default port in `Host` and in `Origin`.
        let port = |authority: Authority<'_>| authority.port.unwrap_or(if is_https { 443 } else { 80 });
        asked.host == from.host
            && port(asked) == port(from)
            && forwarded.is_https.is_none_or(|forwarded| forwarded == is_https)
    }

    /// Returns why changes from this sender are refused and what to do about it, or `None` if they are accepted.
    pub(super) fn refusal(&self, head: &RequestHead, sender: &Sender<'_>) -> Option<String> {
        match sender {
            Sender::Own | Sender::Unknown => None,
            Sender::OtherSite(site) => Some(format!(
                "a page of another site sent this (Sec-Fetch-Site: {}); changes are only taken from pages of this service \
                 and from programs, which send no such header",
                shortened(site)
            )),
            Sender::OtherOrigin("null") => Some(
                "this was sent from a page without an origin (Origin: null), such as a sandboxed frame or a local file; \
                 changes are only taken from pages of this service and from programs, which send no such header"
                    .to_owned(),
            ),
            Sender::OtherOrigin(origin) => {
                let ours = match self.base() {
                    Some(base) => format!("BASE_URL is {base}, so if that is not how the service is reached, it must be changed"),
                    None => "if a proxy serves this service there, BASE_URL must be set to that address".to_owned(),
                };
                Some(format!(
                    "this was sent from {}, and the server was asked as {}; {ours}. Otherwise another site sent it, which \
                     is refused",
                    shortened(origin),
                    shortened(host_text(head)),
                ))
            }
        }
    }
}

/// Reads the host from an absolute target or from `Host` (RFC 9112 §3.2.2); both must be well-formed. Returns `None` for a client
/// of HTTP/1.0 that sends neither.
fn sent_host(head: &RequestHead) -> Result<Option<Authority<'_>>> {
    let mut hosts = head.headers.get_all(header::HOST);
    let host = match (hosts.next(), hosts.next()) {
        (Some(value), None) => {
            let read = value.to_str().ok().and_then(Authority::parse);
            Some(read.ok_or_else(|| invalid_host("Host"))?)
        }
        (None, _) if head.version < Version::HTTP_11 => None,
        _ => return Err(invalid_host("Host, which must be there once,")),
    };
    if head.uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(invalid_host("the request target"));
    }
    // RFC 9112 §3.2.2: an absolute target overrides `Host`.
    match head.uri.authority() {
        Some(target) => {
            let read = Authority::parse(target.as_str()).ok_or_else(|| invalid_host("the request target"))?;
            Ok(Some(read))
        }
        None => Ok(host),
    }
}

/// Returns the text that [`sent_host`] parses.
fn host_text(head: &RequestHead) -> &str {
    match head.uri.authority() {
        Some(target) => target.as_str(),
        None => head.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("nothing"),
    }
}

fn invalid_host(what: &str) -> Error {
    let detail = format!("{what} is not a host name or IP address with an optional port");
    Error::new(ErrorCode::InvalidHost, detail)
}

/// Shortens the value of a header for a message.
fn shortened(text: &str) -> &str {
    text.get(..200).unwrap_or(text)
}

#[cfg(test)]
pub(super) mod tests;
