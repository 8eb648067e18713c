//! A TCP proxy that lets a number of bytes through to the server, and holds what comes behind them until it is opened.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::Ports;
use crate::support::{PATIENCE, within};

/// Dropping it ends it, and every connection through it.
pub struct Gate {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
    _ports: Ports,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Number of bytes to the server that may still pass.
    left: u64,
    passed: u64,
    cuts: u64,
}

impl Gate {
    /// Starts it in front of a server, open for `bytes` bytes.
    pub async fn start(target: &str, bytes: u64) -> Self {
        let ports = Ports::reserve();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.first)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, _) = watch::channel(State { left: bytes, passed: 0, cuts: 0 });
        let task = tokio::spawn(accept(listener, target.to_owned(), state.clone()));
        Self { address, state, task, _ports: ports }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until no more bytes may pass.
    pub async fn closed(&self) {
        let mut state = self.state.subscribe();
        within(PATIENCE, "the gate is reached", state.wait_for(|state| state.left == 0)).await.unwrap();
    }

    /// Lets all bytes pass.
    pub fn open(&self) {
        self.state.send_modify(|state| state.left = u64::MAX);
    }

    /// Ends every connection. A client that has ended while bytes of it are held is not noticed otherwise.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Number of bytes that have gone to the server.
    pub fn passed(&self) -> u64 {
        self.state.borrow().passed
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Owns every connection: aborting it ends them.
async fn accept(listener: TcpListener, target: String, state: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                // A server that is away ends the connection.
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let (from_client, mut to_client) = client.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    let cuts = state.borrow().cuts;
                    let mut changes = state.subscribe();
                    tokio::select! {
                        _ = changes.wait_for(|state| state.cuts > cuts) => {}
                        _ = forward(from_client, to_server, state) => {}
                        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    }
                });
            }
        }
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: watch::Sender<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut changes = state.subscribe();
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            changes.wait_for(|state| state.left > 0).await.map_err(std::io::Error::other)?;
            let mut taken = 0;
            state.send_modify(|state| {
                taken = usize::try_from(state.left).unwrap_or(usize::MAX).min(bytes.len());
                state.left -= taken as u64;
                state.passed += taken as u64;
            });
            to.write_all(&bytes[..taken]).await?;
            bytes = &bytes[taken..];
        }
    }
}
