//! SIGINT and SIGTERM: the first asks to stop, the second exits at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Lives as long as the process: it is what ends it.
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first.is_cancelled() {
                log::warn!("second signal: exiting at once");
                std::process::exit(1);
            }
            log::info!("stopping; a second signal exits at once");
            first.cancel();
        }
    });
    Ok(stop)
}
