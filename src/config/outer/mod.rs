//! Address of the service as seen from outside: its URL, the names that it answers to, trusted proxies.

pub mod authority;
pub mod base_url;
pub mod networks;

pub use authority::{Authority, HostName};
pub use base_url::BaseUrl;
pub use networks::Networks;

use super::Env;

const BASE_URL: &str = "BASE_URL";
const ALLOWED_HOSTS: &str = "ALLOWED_HOSTS";
const TRUSTED_PROXIES: &str = "TRUSTED_PROXIES";

/// Address of the service as seen from outside.
#[derive(Debug, Clone, Default)]
pub struct OuterConfig {
    pub base_url: Option<BaseUrl>,
    pub allowed_hosts: AllowedHosts,
    pub trusted_proxies: Networks,
}

/// Value of `ALLOWED_HOSTS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    /// `*`
    any: bool,
    names: Vec<String>,
    /// Suffixes that `*.name` allows: every name below.
    suffixes: Vec<String>,
}

impl OuterConfig {
    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        Self {
            base_url: read_base_url(env),
            allowed_hosts: read_allowed_hosts(env),
            trusted_proxies: read_trusted_proxies(env),
        }
    }
}

pub(super) fn read_base_url(env: &mut Env) -> Option<BaseUrl> {
    let text = env.described(BASE_URL, "URL with http or https")?;
    BaseUrl::parse(&text)
        .map_err(|problems| {
            for problem in problems {
                env.problem(format!("{BASE_URL} {problem}"));
            }
        })
        .ok()
}

fn read_allowed_hosts(env: &mut Env) -> AllowedHosts {
    let text = env.described(ALLOWED_HOSTS, "host names, comma separated").unwrap_or_default();
    AllowedHosts::parse(&text).unwrap_or_else(|bad| {
        for number in bad {
            env.problem(format!(
                "{ALLOWED_HOSTS}: entry {number} is not a host name, an IP address, *.name or *; no scheme, port or path belongs there"
            ));
        }
        AllowedHosts::default()
    })
}

fn read_trusted_proxies(env: &mut Env) -> Networks {
    let text =
        env.described(TRUSTED_PROXIES, "IP addresses and networks, comma separated").unwrap_or_default();
    Networks::parse(&text).unwrap_or_else(|bad| {
        for number in bad {
            env.problem(format!(
                "{TRUSTED_PROXIES}: entry {number} is not an IP address or a network like 10.0.0.0/8"
            ));
        }
        Networks::default()
    })
}

impl AllowedHosts {
    /// Parses a comma-separated list. The error has the numbers of the invalid entries, from 1.
    pub fn parse(text: &str) -> Result<Self, Vec<usize>> {
        let (mut hosts, mut bad) = (Self::default(), Vec::new());
        for (number, entry) in text.split(',').map(str::trim).enumerate() {
            let suffix = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.'));
            match (entry, suffix) {
                ("", _) => {}
                ("*", _) => hosts.any = true,
                (_, Some(suffix)) => match host(suffix) {
                    Some(suffix) => hosts.suffixes.push(suffix),
                    None => bad.push(number + 1),
                },
                (_, None) => match host(entry) {
                    Some(name) => hosts.names.push(name),
                    None => bad.push(number + 1),
                },
            }
        }
        if bad.is_empty() { Ok(hosts) } else { Err(bad) }
    }

    /// Tells whether the host is allowed.
    pub fn contains(&self, host: HostName<'_>) -> bool {
        self.any
            || self.names.iter().any(|name| Authority::parse(name).is_some_and(|own| own.host == host))
            || self.suffixes.iter().any(|suffix| host.is_below(suffix))
    }
}

/// Normalizes a host: ASCII, with IPv6 addresses in brackets.
fn host(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let name = if text.is_ascii() { text.to_owned() } else { url::Host::parse(text).ok()?.to_string() };
    Authority::parse(&name)
        .is_some_and(|read| read.port.is_none() && !name.contains("]:") && !name.ends_with(':'))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_hosts_are_names_addresses_and_everything_below_a_name() {
        let hosts = AllowedHosts::parse(
            "Files.example., 10.0.0.7,::1,[fd00::1],*.team.example,.x.example,d\u{e4}.example,,",
        )
        .unwrap();
        let contains = |text| hosts.contains(Authority::parse(text).unwrap().host);
        for text in [
            "files.EXAMPLE:80",
            "10.0.0.7",
            "[::1]:1",
            "[fd00::1]",
            "a.team.example",
            "a.b.Team.example.",
            "y.x.example",
            "xn--d-0fa.example",
        ] {
            assert!(contains(text), "{text}");
        }
        for text in
            ["team.example", "xteam.example", "evil.example", "10.0.0.8", "files.example.evil.example"]
        {
            assert!(!contains(text), "{text}");
        }
        assert!(AllowedHosts::parse("*").unwrap().contains(HostName::Dns("evil.example")));
    }

    #[test]
    fn an_invalid_host_is_reported_by_its_number() {
        let bad = AllowedHosts::parse("http://a,a:80,a/b,*.,a b,**,a.*.b,u@h,[::1]:80,a:");
        assert_eq!(bad, Err((1..=10).collect()));
    }

    #[test]
    fn every_problem_is_reported_and_no_value_is_shown() {
        let mut env = Env::of([
            (BASE_URL, "https://u:hunter2@h/?hunter2"),
            (ALLOWED_HOSTS, "ok.example,http://hunter2"),
            (TRUSTED_PROXIES, "hunter2,10.0.0.0/8,1.2.3.4/99"),
        ]);
        OuterConfig::read(&mut env);
        let error = env.finish().unwrap_err();
        assert_eq!(error.0.len(), 5, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
