//! HTTP proxy for requests to the object store.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::Env;

/// HTTP proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// May contain a password.
    pub url: SecretString,
    /// Hosts that are reached without the proxy, in the syntax of `NO_PROXY`.
    pub bypass: Option<String>,
}

const OWN: &str = "S3_PROXY";
const NO_PROXY_VALUE: &str = "none";
const INHERITED: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const BYPASS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Reads the proxy for an endpoint. `S3_PROXY` applies to every endpoint. Without it, the environment's proxy is used for https
/// only: there it sees no more than the host's name, while with http it would see signed URLs, which anybody could use.
/// `HTTP_PROXY` is therefore not read. Endpoints on this machine are never reached through the environment's proxy.
pub(super) fn read_proxy(env: &mut Env, endpoint: Option<&str>) -> Option<Proxy> {
    let own = env.secret(OWN);
    let inherited = env.inherited_secret(&INHERITED);
    let bypass = env.inherited(&BYPASS);
    if let Some(own) = own {
        if own.expose_secret() == NO_PROXY_VALUE {
            return None;
        }
        return match proxy_url(own.expose_secret()) {
            Some(url) => Some(Proxy { url, bypass: None }),
            None => {
                env.problem(format!("{OWN} is not a URL like http://proxy:3128, or {NO_PROXY_VALUE}"));
                None
            }
        };
    }
    let inherited = inherited.filter(|_| endpoint.is_none_or(is_encrypted_elsewhere))?;
    match proxy_url(inherited.expose_secret()) {
        Some(url) => Some(Proxy { url, bypass }),
        None => {
            let name = INHERITED[0];
            env.problem(format!(
                "{name} is not a URL like http://proxy:3128; {OWN} goes before it ({NO_PROXY_VALUE}: no proxy)"
            ));
            None
        }
    }
}

fn is_encrypted_elsewhere(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => true,
    };
    url.scheme() == "https" && !is_here
}

/// Parses a proxy's address as other programs do: without a scheme it is an http proxy.
fn proxy_url(text: &str) -> Option<SecretString> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).ok()?;
    let is_usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_usable.then(|| SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        endpoint: Option<&str>,
        vars: &[(&str, &str)],
    ) -> Result<Option<(String, Option<String>)>, String> {
        let mut env = Env::of(vars.iter().copied());
        let proxy = read_proxy(&mut env, endpoint);
        env.finish().map_err(|error| error.to_string())?;
        Ok(proxy.map(|proxy| (proxy.url.expose_secret().to_owned(), proxy.bypass)))
    }

    const FAR: Option<&str> = Some("https://s3.example.com");

    #[test]
    fn the_environments_proxy_is_for_encrypted_requests_to_other_machines() {
        let set = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", ".corp")];
        let used = Ok(Some(("http://proxy:3128".to_owned(), Some(".corp".to_owned()))));
        assert_eq!(read(None, &set), used);
        assert_eq!(read(FAR, &set), used);
        for straight in [
            "http://minio:9000",
            "https://localhost:9000",
            "https://127.0.0.9",
            "https://[::1]:1",
            "http://127.0.0.1:1",
        ] {
            assert_eq!(read(Some(straight), &set), Ok(None), "{straight}");
        }
        assert_eq!(
            read(FAR, &[("HTTP_PROXY", "http://proxy:1"), ("http_proxy", "http://proxy:1")]),
            Ok(None)
        );
        assert_eq!(read(FAR, &[]), Ok(None));
        let several = [("HTTPS_PROXY", "http://a"), ("https_proxy", "http://b"), ("ALL_PROXY", "socks5://c")];
        assert_eq!(read(FAR, &several), Ok(Some(("http://a".to_owned(), None))));
        for name in INHERITED {
            assert_eq!(
                read(FAR, &[(name, "proxy:1")]),
                Ok(Some(("http://proxy:1".to_owned(), None))),
                "{name}"
            );
        }
    }

    #[test]
    fn a_proxy_of_its_own_goes_before_and_is_for_every_endpoint() {
        let both = |own| [("S3_PROXY", own), ("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        let own = Ok(Some(("http://p:1".to_owned(), None)));
        for endpoint in [None, FAR, Some("http://minio:9000"), Some("http://127.0.0.1:1")] {
            assert_eq!(read(endpoint, &both("http://p:1")), own, "{endpoint:?}");
            assert_eq!(read(endpoint, &both("none")), Ok(None), "{endpoint:?}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_a_problem_that_shows_no_value() {
        for bad in ["socks5://user:hunter2@p:1", "http://", "ftp://p", "://"] {
            for name in ["S3_PROXY", "HTTPS_PROXY"] {
                let problem = read(FAR, &[(name, bad)]).unwrap_err();
                assert!(problem.contains(name) && !problem.contains("hunter2"), "{problem}");
            }
        }
        assert_eq!(read(Some("http://minio"), &[("HTTPS_PROXY", "socks5://p")]), Ok(None), "not used");
    }
}
