//! Ports of servers that stop and come back: nobody else takes them meanwhile. The library's tests use this file too.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// A port and the next one up, which Kafka's controller takes; ours until this is dropped.
///
/// They are below the range from which the system serves clients and those who ask for any port (32768 on). Tests of
/// all processes keep out of each other's way by the UDP ports of the same numbers: who has those has the pair.
pub struct Ports {
    pub first: u16,
    _held: [UdpSocket; 2],
}

impl Ports {
    pub fn reserve() -> Self {
        loop {
            let first = 10_000 + 2 * (uuid::Uuid::new_v4().as_fields().1 % 5_000);
            let [one, other] = [first, first + 1].map(|port| (Ipv4Addr::LOCALHOST, port));
            if let (Ok(held), Ok(next)) = (UdpSocket::bind(one), UdpSocket::bind(other))
                && [one, other].iter().all(|port| TcpListener::bind(port).is_ok())
            {
                return Self { first, _held: [held, next] };
            }
        }
    }
}
