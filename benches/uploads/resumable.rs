//! The tus protocol: one large file in one PATCH, and many small ones, by the same client against filesys and tusd.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::client::Connection;
use super::figures::Figures;
use super::measure::{Cost, median, mib};
use super::stage::{Server, Stage};
use super::{Args, Outcome, plain, tus};

/// Measurements of one server.
#[derive(Default)]
struct Times {
    large: Vec<Cost>,
    small: Vec<Cost>,
}

pub async fn measure(stage: &Stage, args: &Args) -> Outcome<Vec<Figures>> {
    let ours = stage.filesys().await?;
    let mut servers = vec![("filesys", ours, Times::default())];
    if let Some(executable) = &args.tusd {
        servers.push(("tusd", stage.tusd(executable).await?, Times::default()));
    }
    for (_, server, _) in &servers {
        small(server, 32, 1 << 20, args.connections).await?;
        plain::empty(&server.bucket).await?;
    }
    let (size, small_size) = (args.size << 20, args.small_size << 10);
    for _ in 0..args.repeat {
        for (_, server, times) in &mut servers {
            let cost = Cost::begin(server);
            tus::upload(&mut Connection::open(&server.host).await?, super::ENDPOINT, size).await?;
            times.large.push(cost.end(server));
            plain::empty(&server.bucket).await?;
        }
        for (_, server, times) in &mut servers {
            let cost = Cost::begin(server);
            small(server, args.small_files, small_size, args.connections).await?;
            times.small.push(cost.end(server));
            plain::empty(&server.bucket).await?;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let files = args.small_files as f64;
    let large = format!("tus: one file of {} MiB in one PATCH, medians of {}", args.size, args.repeat);
    let many = format!(
        "tus: {} files of {} KiB, {} at once, medians of {}",
        args.small_files, args.small_size, args.connections, args.repeat
    );
    let mut tables = Vec::new();
    for (head, amount, of) in [(large, mib(size), 0), (many, mib(small_size) * files, 1)] {
        let mut figures = Figures::new(head);
        let seconds = |times: &Times| {
            let costs = if of == 0 { &times.large } else { &times.small };
            costs.iter().map(|cost| cost.seconds).collect::<Vec<_>>()
        };
        for (name, _, times) in &servers {
            figures.add(*name, amount / median(&seconds(times)), "MiB/s");
            Cost::report(if of == 0 { &times.large } else { &times.small }, amount, &mut figures);
        }
        if let [(_, _, ours), (_, _, theirs)] = &servers[..] {
            let ratios: Vec<f64> =
                seconds(theirs).iter().zip(seconds(ours)).map(|(theirs, ours)| theirs / ours).collect();
            figures.add("speed of filesys to tusd", median(&ratios), "×");
        }
        tables.push(figures);
    }
    for (_, server, _) in servers {
        server.end().await?;
    }
    Ok(tables)
}

/// Uploads files of one size over several connections.
async fn small(server: &Server, files: usize, size: usize, connections: usize) -> Outcome<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(&server.host).await?;
        let next = Arc::clone(&next);
        clients.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < files {
                tus::upload(&mut connection, super::ENDPOINT, size).await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}
