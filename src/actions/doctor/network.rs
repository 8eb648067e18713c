//! The way to a service: name resolution and a TCP connection, each with a time limit and a line that says what to do.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::domain::Finding;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// `None`: something listens there. `setting` names the variable that holds the address.
pub(super) async fn unreachable(subject: &str, setting: &str, host: &str, port: u16) -> Option<Finding> {
    let error = |detail: String, advice: String| Some(Finding::error(subject, detail, advice));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match timeout(RESOLVE_TIMEOUT, resolve(bare, port)).await {
        Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
        Ok(Ok(_) | Err(_)) => {
            return error(
                format!("the name {host} has no address"),
                format!(
                    "correct the host in {setting}, or the name service (/etc/resolv.conf) of this machine"
                ),
            );
        }
        Err(_) => {
            return error(
                format!("the name service did not resolve {host} within {} s", RESOLVE_TIMEOUT.as_secs()),
                "check /etc/resolv.conf and the way to the name server".to_owned(),
            );
        }
    };
    let mut last = None;
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return None,
            Ok(Err(cause)) => last = Some((address, Some(cause))),
            Err(_) => last = Some((address, None)),
        }
    }
    let (address, cause) = last?;
    match cause {
        Some(cause) if cause.kind() == ErrorKind::ConnectionRefused => error(
            format!("nothing listens on {address} (connection refused)"),
            format!("start the service, or correct host and port in {setting}"),
        ),
        Some(cause) => {
            error(format!("{address} can't be reached: {cause}"), format!("check the network and {setting}"))
        }
        None => error(
            format!("{address} did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
            format!("a firewall may drop the packets, or {setting} names the wrong host"),
        ),
    }
}

async fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_way_of_not_getting_there_has_its_own_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(unreachable("s3", "S3_ENDPOINT", "127.0.0.1", port).await, None);
        drop(listener);
        let refused = unreachable("s3", "S3_ENDPOINT", "127.0.0.1", port).await.unwrap();
        assert!(refused.detail.contains("refused"), "{refused:?}");
        let unknown = unreachable("s3", "S3_ENDPOINT", "no-such-host.invalid", 80).await.unwrap();
        assert!(unknown.advice.unwrap().contains("S3_ENDPOINT"));
    }
}
