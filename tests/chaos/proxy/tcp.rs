//! TCP proxy that can delay, hold back, swallow and cut connections; it knows no protocol.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Ports;

/// Proxy in front of one address. Dropping it ends it and every connection through it.
pub struct TcpProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
    _ports: Ports,
}

/// Treatment of every connection through the proxy, present and future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Delays bytes by this much, either way. Order is kept.
    Delay(Duration),
    /// Nothing comes through either way, ends of connections neither; clients can still connect. What was sent
    /// meanwhile comes through afterwards.
    Blackhole,
    /// Requests come through, replies are lost. A connection that lost some is cut as soon as replies pass again.
    SwallowReplies,
    /// Every connection is cut, and new ones are cut at once.
    Refuse,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    cuts: u64,
}

impl TcpProxy {
    pub async fn start(target: SocketAddr) -> Self {
        let ports = Ports::reserve();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.first)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State { mode: Mode::Pass, cuts: 0 });
        let task = tokio::spawn(accept(listener, target, watched));
        Self { address, state, task, _ports: ports }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Closes every connection now (RST). New ones are as the mode says.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Owns every connection: aborting it ends them.
async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connection(client, target, state.clone()));
            }
        }
    }
}

async fn connection(mut client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let lost_replies = AtomicBool::new(false);
    let is_cut = when(&state, |now| {
        let replies_pass = matches!(now.mode, Mode::Pass | Mode::Delay(_));
        now.cuts != cuts || now.mode == Mode::Refuse || (replies_pass && lost_replies.load(Relaxed))
    });
    let mut server = None;
    let both_ways = async {
        passing(&state, Way::Requests).await;
        let server = server.insert(TcpStream::connect(target).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let no_request_is_lost = AtomicBool::new(false);
        tokio::try_join!(
            pump(from_client, to_server, &state, Way::Requests, &no_request_is_lost),
            pump(from_server, to_client, &state, Way::Replies, &lost_replies),
        )
    };
    let ended_well = tokio::select! {
        _ = is_cut => false,
        ended = both_ways => ended.is_ok(),
    };
    if !ended_well {
        for socket in [Some(&client), server.as_ref()].into_iter().flatten() {
            // One that is gone already needs none.
            let _ = socket.set_zero_linger();
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Requests,
    Replies,
}

/// Waits until the mode lets something through this way, or loses it; false then.
async fn passing(state: &watch::Receiver<State>, way: Way) -> bool {
    let now = when(state, |now| !matches!(now.mode, Mode::Blackhole | Mode::Refuse)).await;
    matches!((now.mode, way), (Mode::Pass | Mode::Delay(_), _) | (_, Way::Requests))
}

async fn when(state: &watch::Receiver<State>, condition: impl Fn(&State) -> bool) -> State {
    let mut state = state.clone();
    let now = state.wait_for(condition).await.ok().map(|now| *now);
    match now {
        Some(now) => now,
        // The proxy is being dropped, and its connections with it.
        None => std::future::pending().await,
    }
}

/// Copies one way of a connection, until its end came through. What is read waits here, up to 1 MiB.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &watch::Receiver<State>,
    way: Way,
    lost: &AtomicBool,
) -> io::Result<()> {
    let (queue, mut queued) = mpsc::channel::<(Instant, io::Result<Vec<u8>>)>(64);
    let reading = async move {
        loop {
            let mut piece = Vec::with_capacity(16 * 1024);
            let read = from.read_buf(&mut piece).await.map(|_| piece);
            let is_last = !matches!(&read, Ok(piece) if !piece.is_empty());
            if queue.send((Instant::now(), read)).await.is_err() || is_last {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((read_at, piece)) = queued.recv().await {
            let mode = state.borrow().mode;
            if let Mode::Delay(delay) = mode {
                sleep_until(read_at + delay).await;
            }
            let passes = passing(state, way).await;
            let piece = piece?;
            if !passes {
                lost.store(true, Relaxed);
            } else if piece.is_empty() {
                to.shutdown().await?;
            } else {
                to.write_all(&piece).await?;
            }
        }
        Ok(())
    };
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        written = &mut writing => written,
        () = reading => writing.await,
    }
}
