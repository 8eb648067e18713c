//! Ports of servers that stop and come back: no other process takes them meanwhile. The library's tests use this file too.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Reservation of a port and the next one, which Kafka's controller takes, until it is dropped.
///
/// The ports are below the ephemeral range of Linux (from 32768). Test processes reserve a pair by binding the UDP ports
/// of the same numbers.
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
