//! A large file in one request, and the same bytes sent straight to the S3 server.

use std::time::Instant;

use super::client::Connection;
use super::figures::Figures;
use super::measure::{Cost, median, mib};
use super::stage::Stage;
use super::{Args, Outcome, content, forms, plain};

pub async fn measure(stage: &Stage, args: &Args) -> Outcome<Vec<Figures>> {
    let size = args.size << 20;
    let sha256 = content::digest(size).await;
    let server = stage.filesys().await?;
    let (s3, bucket) = (&server.s3_host, &server.bucket);
    let mut forms_client = Connection::open(&server.host).await?;
    // Its first request opens connections and prepares statements.
    forms::upload(&mut forms_client, "warm-up.bin", 16 << 20).await?;
    let mut times = [const { Vec::new() }; 4];
    let mut costs = Vec::new();
    for _ in 0..args.repeat {
        let mut clock = Instant::now();
        let mut lap = |index: usize, begun: Instant| times[index].push(begun.elapsed().as_secs_f64());
        plain::put(s3, bucket, size, None).await?;
        lap(0, clock);
        plain::empty(bucket).await?;
        clock = Instant::now();
        plain::put(s3, bucket, size, Some(sha256)).await?;
        lap(1, clock);
        plain::empty(bucket).await?;
        clock = Instant::now();
        plain::multipart(s3, bucket, size).await?;
        lap(2, clock);
        plain::empty(bucket).await?;
        let cost = Cost::begin(&server);
        clock = Instant::now();
        let record = forms::upload(&mut forms_client, "bench.bin", size).await?;
        lap(3, clock);
        costs.push(cost.end(&server));
        record.check(size, &sha256)?;
        plain::empty(bucket).await?;
    }
    server.end().await?;

    let names = [
        "plain client: one PUT",
        "  with a SHA-256 that the store verifies",
        "plain client: parts of 8 MiB, 4 at once",
        "filesys: one request",
    ];
    let mut figures = Figures::new(format!("one file of {} MiB, medians of {}", args.size, args.repeat));
    for (name, times) in names.iter().zip(&times) {
        figures.add(*name, mib(size) / median(times), "MiB/s");
    }
    let compared = ["one PUT", "one PUT with a SHA-256", "parts, 4 at once"];
    for (name, plain) in compared.iter().zip(&times) {
        let ratios: Vec<f64> = times[3].iter().zip(plain).map(|(ours, plain)| ours / plain).collect();
        figures.add(format!("time of filesys ÷ {name}"), median(&ratios), "×");
    }
    Cost::report(&costs, mib(size), &mut figures);
    Ok(vec![figures])
}
