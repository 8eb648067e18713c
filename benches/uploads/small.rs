//! Small files, one request each, in a closed loop.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::Connection;
use super::figures::Figures;
use super::measure::{Cost, mib, percentile};
use super::stage::Stage;
use super::{Args, Outcome, content, forms};

/// Size of each file.
const SIZE: usize = 10 << 10;
/// Clients at once.
const CLIENTS: usize = 32;
/// Time before the measurement, in which connections are opened and statements prepared.
const WARM_UP: Duration = Duration::from_secs(2);

pub async fn measure(stage: &Stage, args: &Args) -> Outcome<Vec<Figures>> {
    let server = stage.filesys().await?;
    let sha256 = content::digest(SIZE).await;
    run(&server.host, WARM_UP, sha256).await?;
    let cost = Cost::begin(&server);
    let mut times = run(&server.host, Duration::from_secs(args.seconds), sha256).await?;
    let cost = cost.end(&server);
    server.end().await?;

    times.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = times.len() as f64;
    let mut figures =
        Figures::new(format!("files of {} KiB, {CLIENTS} at once, for {} s", SIZE >> 10, args.seconds));
    figures.add("accepted", count / cost.seconds, "files/s");
    figures.add("p50", percentile(&times, 50), "ms");
    figures.add("p99", percentile(&times, 99), "ms");
    Cost::report(&[cost], mib(SIZE) * count, &mut figures);
    Ok(vec![figures])
}

/// Returns the milliseconds of each upload.
async fn run(host: &str, time: Duration, sha256: [u8; 32]) -> Outcome<Vec<f64>> {
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for number in 0..CLIENTS {
        let mut connection = Connection::open(host).await?;
        let name = format!("bench-{number}.bin");
        clients.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < time {
                let sent = Instant::now();
                let record = forms::upload(&mut connection, &name, SIZE).await?;
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
                record.check(SIZE, &sha256)?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.extend(client??);
    }
    Ok(times)
}
