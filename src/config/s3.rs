//! Where objects are stored.

use secrecy::SecretString;
use url::Url;

use super::Env;
use super::proxy::{Proxy, read_proxy};
use super::tls::{Authorities, read_authorities};

#[derive(Debug, Clone)]
pub struct S3Config {
    /// `None`: Amazon's own endpoint of the region.
    pub endpoint: Option<String>,
    pub region: String,
    pub bucket: String,
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    /// Whom to believe when the endpoint speaks https. `None`: the default ones.
    pub authorities: Option<Authorities>,
    /// `None`: requests go straight to the store.
    pub proxy: Option<Proxy>,
}

pub const ENDPOINT: [&str; 2] = ["S3_ENDPOINT", "AWS_ENDPOINT"];
const AUTHORITIES: [&str; 2] = ["S3_CA", "AWS_CA_BUNDLE"];
pub const BUCKET_DEFAULT: &str = "file-storage-bucket";

impl S3Config {
    pub fn is_named(env: &Env) -> bool {
        env.is_set(&ENDPOINT)
    }

    pub fn read(env: &mut Env) -> Self {
        let endpoint = env.text(&ENDPOINT).map(|text| text.trim_end_matches('/').to_owned());
        let is_http = |text: &String| {
            Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if endpoint.as_ref().is_some_and(|text| !is_http(text)) {
            env.problem("S3_ENDPOINT is not a URL like http://localhost:4566");
        }
        let secret_access_key = env.secret("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| {
            env.missing(&["AWS_SECRET_ACCESS_KEY"], "the S3 access key's secret");
            SecretString::default()
        });
        Self {
            proxy: read_proxy(env, endpoint.as_deref()),
            endpoint,
            region: env.text_or(&["S3_REGION", "AWS_REGION"], "us-east-1"),
            bucket: Self::read_bucket(env),
            access_key_id: env.required(&["AWS_ACCESS_KEY_ID"], "the S3 access key"),
            secret_access_key,
            authorities: read_authorities(env, &AUTHORITIES),
        }
    }

    /// The bucket alone: embedded storage needs nothing else. Names follow S3's own rules.
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
