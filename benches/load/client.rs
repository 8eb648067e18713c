//! HTTP client with one kept-alive connection.

use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Outcome;

const LIMIT: Duration = Duration::from_secs(30);

pub struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the sender.
        tokio::spawn(connection);
        Ok(Self { host: host.to_owned(), sender })
    }

    /// Sends a conditional GET if `known` names an entity tag. Returns the status and the new tag.
    pub async fn poll(&mut self, target: &str, known: &str) -> Outcome<(StatusCode, Option<String>)> {
        let headers = [("if-none-match", known)];
        let headers = if known.is_empty() { &[][..] } else { &headers };
        let (head, _) = self.exchange("GET", target, headers, Bytes::new()).await?;
        let tag = head.headers.get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((head.status, tag))
    }

    /// Sends a request and returns the status and body of its answer.
    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Outcome<(StatusCode, Bytes)> {
        let (head, body) = self.exchange(method, target, headers, body).await?;
        Ok((head.status, body))
    }

    async fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Outcome<(Parts, Bytes)> {
        let mut request = Request::builder().method(method).uri(target).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        Ok(tokio::time::timeout(LIMIT, exchange).await??)
    }
}
