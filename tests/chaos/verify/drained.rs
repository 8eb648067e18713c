//! Waiting until nothing is left to do; reports what was left when that took too long (I2, I7, I8, I10).

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::log::{Log, groups};
use super::violations::Violation;
use super::{Failure, rows};
use crate::evidence::Evidence;

/// Interval of looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time limit of one look.
const LOOK_LIMIT: Duration = Duration::from_secs(45);

pub async fn drained(evidence: &Evidence, limit: Duration) -> Result<Duration, Vec<Violation>> {
    let started = Instant::now();
    loop {
        let took = started.elapsed();
        let looked = tokio::time::timeout(LOOK_LIMIT, look(evidence)).await;
        let left = match looked {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => vec![violation("I10", "not-reachable", error.to_string())],
            Err(_) => vec![violation("I10", "not-reachable", format!("no answer within {LOOK_LIMIT:?}"))],
        };
        if left.is_empty() {
            return Ok(took);
        }
        if took > limit {
            return Err(left);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn look(evidence: &Evidence) -> Result<Vec<Violation>, Failure> {
    let client = rows::connect(evidence).await?;
    let left = in_database(&client).await?;
    if !left.is_empty() {
        return Ok(left);
    }
    let log = Log::open(evidence).await?;
    let mut left = Vec::new();
    for (group, topic) in groups(evidence) {
        let lag = log.lag(&group, topic).await?;
        left.extend(lag.into_iter().map(|behind| violation("I8", "not-committed", behind)));
    }
    // Records that were consumed meanwhile may have left work in the database.
    left.extend(in_database(&client).await?);
    Ok(left)
}

pub async fn in_database(client: &Client) -> Result<Vec<Violation>, Failure> {
    let mut left = Vec::new();
    for (invariant, check, what) in [
        ("I2", "unfinished", "files WHERE status IN ('pending', 'uploading', 'processing')"),
        ("I7", "outbox-left", "outbox WHERE parked_at IS NULL"),
        ("I4", "removal-left", "object_removals"),
    ] {
        let id = if what.starts_with("files") { "id" } else { "file_id" };
        let sql = format!("SELECT count(*), min({id}), max({id}) FROM {what}");
        let row = client.query_one(&sql, &[]).await?;
        let count: i64 = row.get(0);
        if count > 0 {
            let (first, last): (Option<i64>, Option<i64>) = (row.get(1), row.get(2));
            let detail = format!("{count}, of files {} to {}", first.unwrap_or(0), last.unwrap_or(0));
            left.push(violation(invariant, check, detail));
        }
    }
    Ok(left)
}

fn violation(invariant: &'static str, check: &'static str, detail: String) -> Violation {
    Violation { invariant, check, detail }
}
