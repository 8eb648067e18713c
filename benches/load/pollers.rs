//! Cost of clients that poll the list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Outcome;
use super::client::Connection;
use super::drive::post;
use super::figures::Figures;
use super::report::Percentiles;
use super::stage::{Stage, Workers};

/// Interval of each client's requests.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Requests of each client.
const POLLS: u32 = 10;

pub async fn measure(
    stage: &Stage,
    workers: Workers,
    clients: usize,
    settings: &[(&'static str, String)],
) -> Outcome<Figures> {
    let roles = stage.start(workers, settings).await?;
    let mut connection = Connection::open(&roles.address).await?;
    for number in 0..60 {
        post(&mut connection, number, "a description").await?;
    }
    let rest = idle_cost(&roles, &mut connection).await?;
    let mut open = Vec::new();
    for _ in 0..clients {
        open.push(Connection::open(&roles.address).await?);
    }
    let before = roles.usage();
    let begun = Instant::now();
    let known = Arc::new(AtomicUsize::new(0));
    let mut polling = JoinSet::new();
    for (number, mut connection) in open.into_iter().enumerate() {
        let known = Arc::clone(&known);
        polling.spawn(async move {
            let (mut tag, mut times) = (String::new(), Vec::new());
            let offset = POLL_INTERVAL * u32::try_from(number)? / u32::try_from(clients)?;
            for round in 0..POLLS {
                let due = begun + offset + POLL_INTERVAL * round;
                tokio::time::sleep_until(due).await;
                let asked = Instant::now();
                let (status, new_tag) = connection.poll("/files", &tag).await?;
                times.push(asked.elapsed().as_secs_f64() * 1000.0);
                if status == StatusCode::NOT_MODIFIED {
                    known.fetch_add(1, Ordering::Relaxed);
                }
                tag = new_tag.unwrap_or(tag);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        });
    }
    for number in 0..POLLS * 2 {
        tokio::time::sleep_until(begun + Duration::from_secs(1) * number).await;
        post(&mut connection, usize::try_from(number)?, "a description").await?;
    }
    let mut times = Vec::new();
    while let Some(polled) = polling.join_next().await {
        times.extend(polled??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let used = roles.usage().since(&before);
    stage.end(roles).await?;

    let mut figures =
        Figures::new(format!("{clients} clients that ask for /files every {} s", POLL_INTERVAL.as_secs()));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (asked, known) = (times.len() as f64, known.load(Ordering::Relaxed) as f64);
    figures.add("asked", asked / seconds, "/s");
    figures.add("answered 304", known / asked * 100.0, "%");
    let times = Percentiles::of(times);
    figures.add("answered after, p50", times.p50, "ms");
    figures.add("answered after, p99", times.p99, "ms");
    for (name, usage) in &used.0 {
        figures.add(format!("{name}: CPU"), usage.cpu_seconds / seconds * 100.0, "% of a core");
        let without = rest.iter().find(|(known, _)| known == name).map_or(0.0, |(_, share)| *share);
        figures.add("  without the clients", without, "% of a core");
    }
    Ok(figures)
}

/// Measures the roles without pollers, making one file a second: by process, in per cent of a core.
async fn idle_cost(roles: &super::roles::Roles, connection: &mut Connection) -> Outcome<Vec<(String, f64)>> {
    const SECONDS: u32 = 10;
    let before = roles.usage();
    for number in 0..SECONDS {
        post(connection, usize::try_from(number)?, "a description").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let used = roles.usage().since(&before);
    Ok(used
        .0
        .iter()
        .map(|(name, usage)| (name.clone(), usage.cpu_seconds / f64::from(SECONDS) * 100.0))
        .collect())
}
