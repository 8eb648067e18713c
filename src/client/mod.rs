//! The HTTP API of a running filesys, as programs elsewhere use it: uploads by tus, records, histories, counts.

mod answer;
mod errors;
mod files;
mod uploads;

use std::time::Duration;

use http::Method;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};

pub use self::errors::ClientError;
pub use self::files::{Record, Transition};
pub use self::uploads::{Fields, Stored};
use crate::config::ClientConfig;
use crate::config::client::ServerUrl;

pub(crate) type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Time limit of a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit of a request without a body of bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    server: ServerUrl,
    http: reqwest::Client,
}

impl Client {
    /// Makes the client; nothing is asked of the server yet.
    pub fn new(config: &ClientConfig) -> Result<Self> {
        let unusable = |error: String| ClientError::Refused(format!("TLS can't be used: {error}"));
        let tls = config.authorities.client(None).map_err(|error| unusable(error.to_string()))?;
        // `no_proxy` keeps the client from reading the environment. A redirected upload would send its bytes twice.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .use_preconfigured_tls(tls)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { server: config.server.clone(), http })
    }

    /// Returns the server's address.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.server.join(path))
    }

    /// Sends a request within [`REQUEST_TIMEOUT`] and returns a successful answer.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.timeout(REQUEST_TIMEOUT).send().await;
        answer::successful(answer.map_err(|error| self.lost(&error))?).await
    }

    fn lost(&self, error: &reqwest::Error) -> ClientError {
        ClientError::lost(&self.server, error)
    }
}
