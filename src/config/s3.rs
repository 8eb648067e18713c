//! Connection settings of the object store.

use secrecy::SecretString;
use url::Url;

use super::Env;
use super::proxy::{Proxy, read_proxy};
use super::tls::{Authorities, read_authorities};

/// Connection settings of the object store.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Scheme, host and port as a client sends them, so that the signed host is the one that is sent. `None` for
    /// Amazon's endpoint of the region.
    pub endpoint: Option<String>,
    /// Endpoint in the presigned URLs that clients get; `None` for the same one.
    pub public_endpoint: Option<String>,
    pub region: String,
    pub bucket: String,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    /// Trusted authorities of an https endpoint; `None` for the default ones.
    pub authorities: Option<Authorities>,
    /// `None` for direct requests.
    pub proxy: Option<Proxy>,
}

/// Names of the variable with the endpoint.
pub const ENDPOINT: [&str; 2] = ["S3_ENDPOINT", "AWS_ENDPOINT"];
const AUTHORITIES: [&str; 2] = ["S3_CA", "AWS_CA_BUNDLE"];
/// Default name of the bucket.
pub const BUCKET_DEFAULT: &str = "file-storage-bucket";

impl S3Config {
    /// Tells whether the environment names an object store.
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&ENDPOINT)
    }

    /// Reads the settings.
    pub fn read(env: &mut Env) -> Self {
        let endpoint = read_endpoint(env, &ENDPOINT);
        let region = env.text_or(&["S3_REGION", "AWS_REGION"], "us-east-1");
        if region.len() > 64 || !region.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            env.problem("S3_REGION is not a region's name like eu-west-1");
        }
        let secret_access_key = env.secret("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| {
            env.missing(&["AWS_SECRET_ACCESS_KEY"], "the S3 access key's secret");
            SecretString::default()
        });
        Self {
            proxy: read_proxy(env, endpoint.as_deref()),
            endpoint,
            public_endpoint: Self::read_public_endpoint(env),
            region,
            bucket: Self::read_bucket(env),
            access_key_id: env.required(&["AWS_ACCESS_KEY_ID"], "the S3 access key"),
            secret_access_key,
            authorities: read_authorities(env, &AUTHORITIES),
        }
    }

    /// Reads the endpoint of presigned URLs; embedded storage can have one too.
    pub fn read_public_endpoint(env: &mut Env) -> Option<String> {
        read_endpoint(env, &["S3_PUBLIC_ENDPOINT"])
    }

    /// Returns the URL of the store: the endpoint, or Amazon's of the region.
    pub fn address(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| {
            let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{}.amazonaws.com{suffix}", self.region)
        })
    }

    /// Returns the URL of the bucket as clients outside reach it, without a final slash.
    pub fn bucket_url(&self) -> String {
        let bucket = &self.bucket;
        let address = self.public_endpoint.clone().unwrap_or_else(|| self.address());
        match address.strip_prefix("https://s3.").filter(|_| self.endpoint.is_none()) {
            // Amazon's own: the bucket is a part of the host, unless a dot in it would need another certificate.
            Some(host) if !bucket.contains('.') => format!("https://{bucket}.s3.{host}"),
            Some(_) | None => format!("{address}/{bucket}"),
        }
    }

    /// Returns host and port of the address.
    pub fn host_and_port(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.address()).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
    }

    /// Reads the bucket's name, which follows S3's rules; embedded storage needs no other setting.
    pub fn read_bucket(env: &mut Env) -> String {
        let bucket = env.text_or(&["S3_BUCKET"], BUCKET_DEFAULT);
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (3..=63).contains(&bucket.len())
            && bucket.chars().all(inner)
            && bucket.starts_with(outer)
            && bucket.ends_with(outer);
        if !valid {
            env.problem("S3_BUCKET is not a bucket name: 3 to 63 of a-z, 0-9, '-' and '.'");
        }
        bucket
    }
}

fn read_endpoint(env: &mut Env, names: &[&'static str]) -> Option<String> {
    match origin(&env.text(names)?) {
        Ok(origin) => Some(origin),
        Err(why) => {
            env.problem(format!("{} {why}", names[0]));
            Some("http://localhost".to_owned())
        }
    }
}

/// Returns scheme, host and port of a URL as requests name them: in lower case, with international names in ASCII,
/// without the scheme's default port. An error completes "NAME …".
fn origin(text: &str) -> Result<String, &'static str> {
    const SYNTAX: &str = "is not a URL like http://localhost:4566";
    // Checked first, because the parser drops some of these silently.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(SYNTAX);
    }
    let url = Url::parse(text).map_err(|_| SYNTAX)?;
    if !matches!(url.scheme(), "http" | "https") || !text[url.scheme().len()..].starts_with("://") {
        return Err(SYNTAX);
    }
    if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
        return Err(SYNTAX);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("names a user or a password; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are for that");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment: scheme, host and port are all");
    }
    if !url.path().chars().all(|c| c == '/') {
        return Err("must not have a path: scheme, host and port are all, and S3_BUCKET names the bucket");
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_the_bucket_is_the_one_that_clients_reach() {
        let url = |vars: &[(&str, &str)]| S3Config::read(&mut Env::of(vars.iter().copied())).bucket_url();
        let (own, public) = (("S3_ENDPOINT", "http://s3:4566"), ("S3_PUBLIC_ENDPOINT", "https://s3.example"));
        assert_eq!(url(&[own, ("S3_BUCKET", "one")]), "http://s3:4566/one");
        assert_eq!(url(&[own, public, ("S3_BUCKET", "one")]), "https://s3.example/one");
        assert_eq!(url(&[("S3_BUCKET", "one")]), "https://one.s3.us-east-1.amazonaws.com");
        assert_eq!(url(&[("S3_BUCKET", "a.b")]), "https://s3.us-east-1.amazonaws.com/a.b");
    }

    #[test]
    fn an_endpoint_is_used_as_clients_send_it() {
        for (text, expected) in [
            ("http://localhost:4566", "http://localhost:4566"),
            ("http://localhost:4566/", "http://localhost:4566"),
            ("http://localhost:4566//", "http://localhost:4566"),
            ("http://localhost:80", "http://localhost"),
            ("https://h:443", "https://h"),
            ("http://h:443", "http://h:443"),
            ("https://h:80", "https://h:80"),
            ("HTTP://LocalHost:80/", "http://localhost"),
            ("http://h:04566", "http://h:4566"),
            ("http://h:", "http://h"),
            ("http://[::1]:4566", "http://[::1]:4566"),
            ("http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"),
            ("http://127.1:9000", "http://127.0.0.1:9000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://s3_1.internal", "https://s3_1.internal"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_endpoint_that_can_not_work_is_refused() {
        for (text, why) in [
            ("localhost:4566", "is not a URL"),
            ("s3://bucket", "is not a URL"),
            ("http://", "is not a URL"),
            ("http:localhost", "is not a URL"),
            ("http:\\\\localhost", "is not a URL"),
            ("http://local host", "is not a URL"),
            ("http://local\thost", "is not a URL"),
            ("http://h:0", "is not a URL"),
            ("http://h:65536", "is not a URL"),
            ("http://[::1", "is not a URL"),
            ("http://::1:9000", "is not a URL"),
            ("http://h:9000/bucket", "must not have a path"),
            ("http://h/?x=1", "must not have a query"),
            ("http://h#f", "must not have a query"),
            ("http://user:hunter2@h", "names a user"),
            ("http://user@h", "names a user"),
        ] {
            let error = origin(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn amazon_has_an_endpoint_in_each_region() {
        let address = |region| {
            let env = [("S3_REGION", region), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
            S3Config::read(&mut Env::of(env)).address()
        };
        assert_eq!(address("eu-west-1"), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(address("xx-new-9"), "https://s3.xx-new-9.amazonaws.com");
        assert_eq!(address("cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn");
    }
}
