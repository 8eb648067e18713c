//! `filesys healthcheck`: asks a running `serve`, `up` or `worker` on this machine whether it is well; for container probes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{CommandError, CommandResult};
use crate::config::worker::{HEALTH_SOCKET, read_health_socket};
use crate::config::{Env, HttpConfig};
use crate::consumer::health::{self, Report, Status};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask whether it can do its work (/readyz; of a worker: every member has joined), not just whether it lives
    #[arg(long)]
    ready: bool,
    /// Ask a worker, through the socket that `WORKER_HEALTH_SOCKET` names
    #[arg(long)]
    worker: bool,
}

const LIMIT: Duration = Duration::from_secs(5);
/// The status line and the headers are all that counts.
const ANSWER_MAX: u64 = 16 * 1024;

/// Exit code 0 on a 2xx answer, 1 on any other, 69 on none.
pub(super) async fn run(args: Args, mut env: Env) -> CommandResult {
    if args.worker {
        return ask_worker(args.ready, env).await;
    }
    let http = HttpConfig::read(&mut env);
    env.finish()?;
    let address = SocketAddr::new(local(http.host), http.port);
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = tokio::time::timeout(LIMIT, ask(address, path)).await;
    let answer = answer.map_err(|_| unavailable(address, "no answer in time"))?;
    let answer = answer.map_err(|error| unavailable(address, &error.to_string()))?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(());
    }
    Err(CommandError::Failed(format!("http://{address}{path} answered {status}")))
}

async fn ask_worker(is_ready: bool, mut env: Env) -> CommandResult {
    let name = read_health_socket(&mut env);
    if name.is_none() {
        env.missing(&[HEALTH_SOCKET], "the socket's name, as the worker has it");
    }
    env.finish()?;
    let name = name.unwrap_or_default();
    let report = health::fetch(&name).await.map_err(|error| {
        CommandError::Unavailable(format!("no worker answers on {HEALTH_SOCKET}={name}: {error}"))
    })?;
    let Report { status, members, joined } = report;
    match status {
        Status::Ready => Ok(()),
        Status::Joining if !is_ready => Ok(()),
        Status::Joining => {
            Err(CommandError::Failed(format!("{joined} of {members} members have joined their group")))
        }
        Status::Stuck => Err(CommandError::Failed("a member has stopped working".to_owned())),
    }
}

fn unavailable(address: SocketAddr, why: &str) -> CommandError {
    CommandError::Unavailable(format!("http://{address}: {why}"))
}

/// Returns the address to connect to: a server that listens on all addresses answers on loopback.
pub(super) fn local(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => host,
    }
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
