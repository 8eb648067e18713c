//! Health of a worker: whether its members make progress and have joined. It is reported through an abstract Unix
//! socket, which needs no file, no port and no capability.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::limits;

/// Heartbeat of one member, written by its loop.
#[derive(Debug)]
pub struct MemberHealth {
    start: Instant,
    beat_ms: AtomicU64,
    is_joined: AtomicBool,
}

impl Default for MemberHealth {
    fn default() -> Self {
        Self { start: Instant::now(), beat_ms: AtomicU64::new(0), is_joined: AtomicBool::new(false) }
    }
}

impl MemberHealth {
    /// Notes that the loop has turned, and whether the member has joined its group.
    pub fn beat(&self, is_joined: bool) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(elapsed, Ordering::Relaxed);
        self.is_joined.store(is_joined, Ordering::Relaxed);
    }

    fn is_stuck(&self, after: Duration) -> bool {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(beat) > after
    }
}

/// Health of all members of a process.
#[derive(Debug)]
pub struct Health {
    pub members: Vec<Arc<MemberHealth>>,
    stuck_after: Duration,
}

/// Condition of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every member has joined its group.
    Ready,
    /// At least one member has not joined, for example because Kafka is unavailable; it keeps trying.
    Joining,
    /// The loop of at least one member makes no progress: only a restart helps.
    Stuck,
}

/// Health report of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub status: Status,
    pub members: usize,
    pub joined: usize,
}

impl Health {
    /// Makes the health of a process with this many members.
    pub fn new(members: usize, session_timeout: Duration) -> Self {
        let members = (0..members).map(|_| Arc::default()).collect();
        Self { members, stuck_after: limits::STUCK_AFTER + session_timeout }
    }

    /// Summarizes the health of all members.
    pub fn report(&self) -> Report {
        let joined = self.members.iter().filter(|member| member.is_joined.load(Ordering::Relaxed)).count();
        let status = if self.members.iter().any(|member| member.is_stuck(self.stuck_after)) {
            Status::Stuck
        } else if joined < self.members.len() {
            Status::Joining
        } else {
            Status::Ready
        };
        Report { status, members: self.members.len(), joined }
    }
}

/// Listens under the abstract name; fails when another process of this network namespace already does.
pub fn listen(name: &str) -> std::io::Result<UnixListener> {
    let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Sends a report to each client that connects, one at a time, until dropped. Nothing is read from clients.
pub async fn serve(listener: UnixListener, health: Arc<Health>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::time::sleep(limits::ACCEPT_RETRY_PAUSE).await;
            continue;
        };
        let report = serde_json::to_vec(&health.report()).unwrap_or_default();
        // Errors are ignored: the client may have gone. One that doesn't read can't block this loop, since the report
        // fits into the socket's buffer.
        let _ = tokio::time::timeout(limits::HEALTH_TIMEOUT, client.write_all(&report)).await;
    }
}

/// Fetches the report of the worker that listens under the name.
pub async fn fetch(name: &str) -> std::io::Result<Report> {
    let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let mut report = Vec::new();
    let mut stream = stream.take(limits::HEALTH_REPORT_BYTES);
    tokio::time::timeout(limits::HEALTH_TIMEOUT, stream.read_to_end(&mut report)).await??;
    Ok(serde_json::from_slice(&report)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique_name() -> String {
        format!("filesys-test-{}", uuid::Uuid::new_v4())
    }

    #[tokio::test]
    async fn a_worker_is_ready_once_all_members_have_joined() {
        let health = Arc::new(Health::new(2, Duration::from_secs(10)));
        let name = unique_name();
        let serving = tokio::spawn(serve(listen(&name).unwrap(), Arc::clone(&health)));
        for (joined, status) in [(0, Status::Joining), (1, Status::Joining), (2, Status::Ready)] {
            for member in &health.members[..joined] {
                member.beat(true);
            }
            assert_eq!(fetch(&name).await.unwrap(), Report { status, members: 2, joined });
        }
        health.members[0].beat(false);
        assert_eq!(fetch(&name).await.unwrap().status, Status::Joining);
        assert!(listen(&name).is_err(), "the name is taken");
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(fetch(&name).await.is_err(), "nobody listens");
    }

    #[test]
    fn a_member_whose_loop_has_stopped_makes_the_worker_stuck() {
        let mut health = Health::new(2, Duration::ZERO);
        health.stuck_after = Duration::from_millis(20);
        std::thread::sleep(Duration::from_millis(50));
        health.members[0].beat(true);
        assert_eq!(health.report().status, Status::Stuck);
        health.members[1].beat(true);
        assert_eq!(health.report().status, Status::Ready);
    }

    #[tokio::test]
    async fn clients_that_do_not_read_block_no_other() {
        let health = Arc::new(Health::new(1, Duration::from_secs(10)));
        let name = unique_name();
        let serving = tokio::spawn(serve(listen(&name).unwrap(), health));
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let idle: Vec<_> = (0..100).map(|_| StdStream::connect_addr(&address).unwrap()).collect();
        assert_eq!(fetch(&name).await.unwrap().status, Status::Joining);
        drop(idle);
        serving.abort();
    }
}
