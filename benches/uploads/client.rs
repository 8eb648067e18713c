//! HTTP client with one kept-alive connection, which sends bodies of any size as fast as they are taken.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Outcome;
use super::content::Content;

/// Time limit of a request.
const LIMIT: Duration = Duration::from_mins(15);

pub struct Connection {
    host: String,
    sender: SendRequest<Content>,
}

pub struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
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

    /// Sends a request with this method and target; an answer with another status than `expected` is an error.
    pub async fn send(
        &mut self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: Content,
        expected: StatusCode,
    ) -> Outcome<Answer> {
        let mut request = Request::builder().method(method).uri(target).header("host", &self.host);
        request = request.header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body)?;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(LIMIT, exchange).await??;
        if head.status != expected {
            let text = String::from_utf8_lossy(&body).into_owned();
            return Err(format!("{method} {target}: {} {text}", head.status).into());
        }
        Ok(Answer { headers: head.headers, body })
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Outcome<&str> {
        let value = self.headers.get(name).ok_or_else(|| format!("no {name} in the answer"))?;
        Ok(value.to_str()?)
    }
}

/// Path and query of a URL.
pub fn target(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned())
}
