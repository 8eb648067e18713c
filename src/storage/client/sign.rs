//! Signatures of requests, in their URLs, made with rust-s3's steps. Its own requests can't carry what uploads in parts
//! with checksums need.

use hmac::Mac;
use http::header::HOST;
use s3::Region;
use s3::signing;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::clock;
use super::request::Request;
use crate::config::S3Config;
use crate::storage::errors::StorageError;
use crate::storage::hex;

/// Signer of requests to one bucket at one address.
pub(super) struct Signer {
    bucket_url: String,
    region: Region,
    access_key_id: String,
    secret_access_key: SecretString,
}

impl Signer {
    /// Makes the signer of requests to the endpoint; `None` for Amazon's of the region.
    pub fn new(config: &S3Config, endpoint: Option<&str>) -> Self {
        let bucket = &config.bucket;
        let bucket_url = match endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}"),
            None => {
                let address = config.address();
                let host = address.strip_prefix("https://").filter(|_| !bucket.contains('.'));
                // The name in the path works everywhere. In the host it needs DNS, and a certificate for it: Amazon's
                // don't cover names with dots.
                host.map_or(format!("{address}/{bucket}"), |host| format!("https://{bucket}.{host}"))
            }
        };
        Self {
            bucket_url,
            region: Region::Custom { region: config.region.clone(), endpoint: config.address() },
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
        }
    }

    /// Returns the URL of the request, signed for this long. Its headers are signed too: they must be sent as they are.
    /// `ahead_secs` is by how much the store's clock is ahead of this machine's.
    pub fn sign(&self, request: &Request<'_>, ttl_secs: u32, ahead_secs: i64) -> Result<Url, StorageError> {
        let time = clock::store_time(ahead_secs);
        let (region, headers) = (&self.region, &request.headers);
        let query = signing::authorization_query_params_no_sig(
            &self.access_key_id,
            &time.into(),
            region,
            ttl_secs,
            Some(headers),
            None,
        )?;
        let key = signing::uri_encode(request.key, false);
        let mut text = format!("{}/{key}{query}", self.bucket_url);
        for (name, value) in &request.query {
            text.extend(["&", &signing::uri_encode(name, true), "=", &signing::uri_encode(value, true)]);
        }
        let mut url = Url::parse(&text).map_err(other)?;
        let mut signed = headers.clone();
        signed.insert(HOST, url.authority().parse().map_err(other)?);
        let canonical =
            signing::canonical_request(request.method.as_str(), &url, &signed, "UNSIGNED-PAYLOAD")?;
        let text = signing::string_to_sign(&time.into(), region, &canonical)?;
        let key = signing::signing_key(&time.into(), self.secret_access_key.expose_secret(), region, "s3")?;
        let mut mac = signing::HmacSha256::new_from_slice(&key).map_err(other)?;
        mac.update(text.as_bytes());
        url.query_pairs_mut().append_pair("X-Amz-Signature", &hex(&mac.finalize().into_bytes()));
        Ok(url)
    }
}

fn other(error: impl std::fmt::Display) -> StorageError {
    StorageError::Other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    fn url(bucket: &str, endpoint: Option<&str>) -> String {
        let env = [
            ("S3_REGION", "eu-west-1"),
            ("S3_BUCKET", bucket),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ];
        let request = Request::get("files/1_ü.txt", &[("list-type", "2")]);
        Signer::new(&S3Config::read(&mut Env::of(env)), endpoint).sign(&request, 60, 0).unwrap().into()
    }

    #[test]
    fn a_bucket_is_named_in_the_host_at_amazon_and_in_the_path_elsewhere() {
        for (bucket, endpoint, expected) in [
            ("b-1", None, "https://b-1.s3.eu-west-1.amazonaws.com/files/1_%C3%BC.txt?"),
            ("b.1", None, "https://s3.eu-west-1.amazonaws.com/b.1/files/1_%C3%BC.txt?"),
            ("b-1", Some("http://[::1]:9000"), "http://[::1]:9000/b-1/files/1_%C3%BC.txt?"),
        ] {
            let url = url(bucket, endpoint);
            assert!(url.starts_with(expected) && url.contains("&list-type=2&X-Amz-Signature="), "{url}");
        }
    }
}
