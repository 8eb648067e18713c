//! Times of reads, and of a request for a file, as the tables grow. No worker runs.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Outcome;
use super::client::Connection;
use super::drive::post;
use super::figures::Figures;
use super::report::Percentiles;
use super::roles::Roles;
use super::stage::{Stage, Workers};

/// Measured requests of each kind.
const SAMPLES: usize = 300;
/// Rows that one statement inserts.
const CHUNK: usize = 100_000;

/// Inserts finished files with their history; every thousandth is still pending.
const FILL: &str = "
WITH new AS (SELECT nextval('files_id_seq') AS id FROM generate_series(1, $1::bigint)),
state AS (SELECT id, CASE WHEN id % 1000 = 0 THEN 'pending' ELSE 'completed' END AS status FROM new),
f AS (INSERT INTO files (id, title, description, status, s3_location, size, sha256, created_at, updated_at, deadline_at)
    SELECT id, 'Old file ' || id, repeat('x', 100), status, 's3://b/files/' || id || '_old_file.txt', 160,
        encode(sha256(id::text::bytea), 'hex'), now(), now(), now() + interval '1 day' FROM state)
INSERT INTO transitions (file_id, at, from_status, to_status, attempt)
SELECT id, now(), step.before, step.after, 1 FROM state CROSS JOIN
    (VALUES (1, NULL, 'pending'), (2, 'pending', 'processing'), (3, 'processing', 'completed')) AS step (n, before, after)
WHERE step.n = 1 OR status = 'completed'";

pub async fn measure(stage: &Stage, rows: &[usize], settings: &[(&'static str, String)]) -> Outcome<Figures> {
    let list = rows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut figures = Figures::new(format!("reading among {list} files; medians of {SAMPLES}"));
    let mut runs = Vec::new();
    for rows in rows {
        let roles = stage.start(Workers::NONE, settings).await?;
        fill(&roles, *rows).await?;
        runs.push(roles);
    }
    let mut all: Vec<Vec<(String, Vec<f64>)>> = Vec::new();
    for roles in &runs {
        let mut reads = Reads::new(roles).await?;
        // The first requests fill caches and prepare statements.
        reads.round(20).await?;
        reads.times.iter_mut().for_each(|(_, times)| times.clear());
        all.push(reads.times);
    }
    // In turns, so that what else happens on the machine hits all sizes alike.
    for _ in 0..SAMPLES / 10 {
        for (roles, times) in runs.iter().zip(&mut all) {
            let mut reads = Reads::new(roles).await?;
            reads.round(10).await?;
            for ((_, sum), (_, new)) in times.iter_mut().zip(reads.times) {
                sum.extend(new);
            }
        }
    }
    for number in 0..all[0].len() {
        let medians: Vec<f64> =
            all.iter().map(|times| Percentiles::of(times[number].1.clone()).p50).collect();
        for (rows, median) in rows.iter().zip(&medians) {
            figures.add(format!("{} of {rows}", all[0][number].0), *median, "ms");
        }
        if let ([first, .., last], true) = (medians.as_slice(), rows.len() > 1) {
            figures.add("  that is", last / first, "times as long");
        }
    }
    for roles in runs {
        stage.end(roles).await?;
    }
    Ok(figures)
}

async fn fill(roles: &Roles, rows: usize) -> Outcome<()> {
    let mut left = rows;
    while left > 0 {
        let count = left.min(CHUNK);
        roles.database.execute(FILL, &[&i64::try_from(count)?]).await?;
        left -= count;
    }
    roles.database.batch_execute("VACUUM ANALYZE").await?;
    // Dirty pages are written now, not while requests are timed.
    roles.database.batch_execute("CHECKPOINT").await?;
    Ok(())
}

struct Reads {
    connection: Connection,
    middle: i64,
    times: Vec<(String, Vec<f64>)>,
}

impl Reads {
    async fn new(roles: &Roles) -> Outcome<Self> {
        let highest: i64 = roles.database.query_one("SELECT max(id) FROM files", &[]).await?.get(0);
        Ok(Self {
            connection: Connection::open(&roles.address).await?,
            middle: highest / 2 + 1,
            times: Vec::new(),
        })
    }

    /// Sends each request after a new file was posted, so that no answer comes from a cache.
    async fn round(&mut self, count: usize) -> Outcome<()> {
        let middle = self.middle;
        let paths = [
            "/files".to_owned(),
            "/files?limit=200".to_owned(),
            "/files?status=completed".to_owned(),
            "/files?status=pending".to_owned(),
            "/files/stats".to_owned(),
            format!("/files/{middle}"),
            format!("/files/{middle}/timeline"),
            "/".to_owned(),
        ];
        for number in 0..count {
            for path in &paths {
                let (_, took) = post(&mut self.connection, number, "a description").await?;
                self.note("POST /files", took);
                let asked = Instant::now();
                let (status, _) = self.connection.send("GET", path, &[], Bytes::new()).await?;
                if !status.is_success() {
                    return Err(format!("{path} was answered {status}").into());
                }
                let name = path.replace(&middle.to_string(), "{id}");
                self.note(&format!("GET {name}"), asked.elapsed());
            }
        }
        Ok(())
    }

    fn note(&mut self, name: &str, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        match self.times.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(millis),
            None => self.times.push((name.to_owned(), vec![millis])),
        }
    }
}
