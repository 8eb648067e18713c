//! SIGINT and SIGTERM: the first asks to stop, the second exits at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A repetition within this time is the same request to stop: `timeout`, supervisors and terminals signal a process and
/// its group, which arrives as two signals.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// A token that the first signal cancels.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Lives as long as the process: it is what ends it.
    tokio::spawn(async move {
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match asked {
                None => {
                    log::info!("stopping; a second signal exits at once");
                    asked = Some(Instant::now());
                    first.cancel();
                }
                Some(asked) if asked.elapsed() < SAME_SIGNAL => {}
                Some(_) => {
                    log::warn!("second signal: exiting at once");
                    std::process::exit(1);
                }
            }
        }
    });
    Ok(stop)
}
