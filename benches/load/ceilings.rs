//! Upper bounds: what the services do with the same bytes, rows and records at the same concurrency, without the product.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{Compression, UnknownTopicHandling};
use rskafka::record::Record;
use s3::Bucket;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::Outcome;
use super::client::Connection;
use super::processes::machine_cpu_seconds;
use super::services::{Services, connect};
use super::stage::Stage;
use super::store::bucket;

/// Time that each part runs.
const RUN_TIME: Duration = Duration::from_secs(5);
/// Files in one commit.
const BATCH: usize = 64;

/// Bytes of records in one batch: what rskafka sends in one write, so that delayed acknowledgements cost nothing.
const BATCH_BYTES: usize = 7_000;

/// Throughput of one service alone, on the whole machine.
#[derive(Debug, Serialize)]
pub struct Ceiling {
    pub name: &'static str,
    pub per_second: f64,
    /// CPU time of the whole machine for each, the bench's own included.
    pub cpu_ms: f64,
    /// Number of them that one file takes.
    per_file: f64,
    /// Sent one at a time, although the service takes batches.
    one_by_one: bool,
}

impl Ceiling {
    pub fn files_per_second(&self) -> f64 {
        self.per_second / self.per_file
    }
}

#[derive(Debug, Serialize)]
pub struct Ceilings([Ceiling; 5]);

impl Ceilings {
    pub fn all(&self) -> &[Ceiling] {
        &self.0
    }

    fn batched(&self) -> impl Iterator<Item = &Ceiling> {
        self.0.iter().filter(|ceiling| !ceiling.one_by_one)
    }

    /// Files per second of the slowest part.
    pub fn lowest(&self) -> f64 {
        self.0.iter().map(Ceiling::files_per_second).fold(f64::INFINITY, f64::min)
    }

    /// Files per second of the slowest part when everything that can be batched is.
    pub fn lowest_batched(&self) -> f64 {
        self.batched().map(Ceiling::files_per_second).fold(f64::INFINITY, f64::min)
    }

    /// Files per second when all services share the machine's processors and nothing else needs them.
    pub fn together(&self, cores: usize) -> f64 {
        let cpu_ms: f64 = self.batched().map(|ceiling| ceiling.cpu_ms * ceiling.per_file).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let available = cores as f64 * 1000.0;
        available / cpu_ms
    }
}

pub async fn measure(stage: &Stage, connections: usize, description: usize) -> Outcome<Ceilings> {
    let services = stage.services().ok_or("the parts of `up` have no ceilings of their own")?;
    let name = format!("ceiling{}", uuid::Uuid::new_v4().simple());
    let content = Bytes::from("x".repeat(description + 60));
    let in_one_write = (BATCH_BYTES / (content.len() + 30)).max(1);
    let s3_puts = s3_puts(services, &name, connections, content.clone()).await?;
    let commits_alone = commits(services, &format!("{name}a"), connections, 1).await?;
    let commits = commits(services, &format!("{name}b"), 2, BATCH).await?;
    let records_alone = records(services, &format!("{name}.a"), connections, 1, &content).await?;
    // Records of one file: a request, two results and three events.
    let records = records(services, &format!("{name}.b"), connections, in_one_write, &content).await?;
    services.drop_all(&name).await?;
    let ceiling = |name, (per_second, cpu_ms), per_file, one_by_one| Ceiling {
        name,
        per_second,
        cpu_ms,
        per_file,
        one_by_one,
    };
    Ok(Ceilings([
        ceiling("S3 PUTs", s3_puts, 1.0, false),
        ceiling("PostgreSQL files, one a commit", commits_alone, 1.0, true),
        ceiling("PostgreSQL files, 64 a commit", commits, 1.0, false),
        ceiling("Kafka records", records_alone, 6.0, true),
        ceiling("Kafka records in batches", records, 6.0, false),
    ]))
}

/// Wall clock and CPU time since a start.
struct Clock {
    since: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Self {
        Self { since: Instant::now(), cpu: machine_cpu_seconds() }
    }

    /// Rate per second, and CPU milliseconds for each.
    fn rate(&self, count: usize) -> (f64, f64) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = count as f64;
        let cpu = machine_cpu_seconds() - self.cpu;
        (count / self.since.elapsed().as_secs_f64(), cpu * 1000.0 / count)
    }
}

async fn all(mut tasks: JoinSet<Outcome<()>>) -> Outcome<()> {
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// Measures PUTs. URLs are signed before the clock runs; the store checks a checksum, as it does for the product.
async fn s3_puts(services: &Services, name: &str, connections: usize, content: Bytes) -> Outcome<(f64, f64)> {
    const URLS: usize = 60_000;
    let bucket = bucket(&services.s3, name)?;
    let host = services.s3.host();
    let made = Connection::open(&host)
        .await?
        .send("PUT", &target(&bucket.presign_put("", 300, None, None).await?), &[], Bytes::new())
        .await?;
    if !made.0.is_success() {
        return Err(format!("no bucket: {}", made.0).into());
    }
    let checksum = BASE64_STANDARD.encode(Sha256::digest(&content));
    let urls = Arc::new(signed(&bucket, &checksum, URLS).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let clock = Clock::start();
    let since = clock.since;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(&host).await?;
        let (urls, next, checksum, content) =
            (Arc::clone(&urls), Arc::clone(&next), checksum.clone(), content.clone());
        tasks.spawn(async move {
            while since.elapsed() < RUN_TIME {
                let Some(url) = urls.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let headers =
                    [("content-type", "text/plain; charset=utf-8"), ("x-amz-checksum-sha256", &*checksum)];
                let (status, answer) = connection.send("PUT", url, &headers, content.clone()).await?;
                if status != StatusCode::OK {
                    return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
                }
            }
            Ok(())
        });
    }
    all(tasks).await?;
    Ok(clock.rate(next.load(Ordering::Relaxed).min(URLS)))
}

async fn signed(bucket: &Bucket, checksum: &str, count: usize) -> Outcome<Vec<String>> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-amz-checksum-sha256", HeaderValue::from_str(checksum)?);
    let mut urls = Vec::with_capacity(count);
    for number in 0..count {
        let key = format!("files/{number}_load_test_1795186363799.txt");
        urls.push(target(&bucket.presign_put(&key, 300, Some(headers.clone()), None).await?));
    }
    Ok(urls)
}

/// Path and query.
fn target(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned())
}

/// Statement of one commit of new files: each with its first history entry and two messages.
const CREATED: &str = "
WITH n AS (SELECT nextval('files_id_seq') AS id FROM generate_series(1, $1::bigint)),
f AS (INSERT INTO files (id, title, description, status, deadline_at) SELECT id, 'Load test', repeat('x', 100), 'pending', now() FROM n RETURNING id),
t AS (INSERT INTO transitions (file_id, at, to_status, attempt) SELECT id, now(), 'pending', 1 FROM n),
o AS (INSERT INTO outbox (event_id, topic, value, file_id) SELECT gen_random_uuid(), 'file.create', decode(repeat('78', 200), 'hex'), id FROM n, generate_series(1, 2)
    RETURNING id)
SELECT (SELECT array_agg(id) FROM f), (SELECT array_agg(id) FROM o)";

/// Statement that completes them: two more history entries and events each; their messages are published.
const COMPLETED: &str = "
WITH n AS (SELECT unnest($1::bigint[]) AS id),
d AS (DELETE FROM outbox WHERE id = ANY($2)),
f AS (UPDATE files SET status = 'completed', updated_at = now(), s3_location = repeat('x', 60), size = 100, sha256 = repeat('0', 64) FROM n WHERE files.id = n.id),
t AS (INSERT INTO transitions (file_id, at, from_status, to_status, attempt) SELECT id, now(), 'pending', 'completed', 1 FROM n, generate_series(1, 2)),
o AS (INSERT INTO outbox (event_id, topic, value, file_id) SELECT gen_random_uuid(), 'file.events', decode(repeat('78', 200), 'hex'), id FROM n, generate_series(1, 2) RETURNING id)
SELECT array_agg(id) FROM o";

/// Statement that removes the published events.
const PUBLISHED: &str = "DELETE FROM outbox WHERE id = ANY($1)";

/// Measures files, each taken through its life in three commits.
async fn commits(services: &Services, name: &str, connections: usize, batch: usize) -> Outcome<(f64, f64)> {
    services.create_database(name).await?;
    let database = services.database(name);
    filesys::db::migrations::migrate(&database.to_string().into()).await?;
    let count = Arc::new(AtomicUsize::new(0));
    let rows = i64::try_from(batch)?;
    let mut open = Vec::new();
    // `max_connections` leaves room for no more.
    for _ in 0..connections.min(64) {
        let client = connect(&database).await?;
        client.batch_execute(filesys::db::BY_INDEX).await?;
        let [created, completed, published] = [
            client.prepare(CREATED).await?,
            client.prepare(COMPLETED).await?,
            client.prepare(PUBLISHED).await?,
        ];
        open.push((client, created, completed, published));
    }
    let clock = Clock::start();
    let since = clock.since;
    let mut tasks = JoinSet::new();
    for (client, created, completed, published) in open {
        let count = Arc::clone(&count);
        tasks.spawn(async move {
            while since.elapsed() < RUN_TIME {
                let row = client.query_one(&created, &[&rows]).await?;
                let (files, messages): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
                let events: Vec<i64> = client.query_one(&completed, &[&files, &messages]).await?.get(0);
                client.execute(&published, &[&events]).await?;
                count.fetch_add(batch, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    all(tasks).await?;
    Ok(clock.rate(count.load(Ordering::Relaxed)))
}

async fn records(
    services: &Services,
    topic: &str,
    clients: usize,
    batch: usize,
    content: &Bytes,
) -> Outcome<(f64, f64)> {
    const PARTITIONS: i32 = 3;
    let client = ClientBuilder::new(vec![services.kafka.clone()]).build().await?;
    client.controller_client()?.create_topic(topic, PARTITIONS, 1, 5_000).await?;
    let mut partitions = Vec::new();
    for number in 0..PARTITIONS {
        let partition = client.partition_client(topic, number, UnknownTopicHandling::Retry).await?;
        partitions.push(Arc::new(partition));
    }
    let record = Record {
        key: None,
        value: Some(content.to_vec()),
        headers: std::collections::BTreeMap::new(),
        timestamp: chrono::Utc::now(),
    };
    let count = Arc::new(AtomicUsize::new(0));
    let clock = Clock::start();
    let since = clock.since;
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let partition = Arc::clone(&partitions[number % partitions.len()]);
        let (count, record) = (Arc::clone(&count), record.clone());
        tasks.spawn(async move {
            while since.elapsed() < RUN_TIME {
                partition.produce(vec![record.clone(); batch], Compression::NoCompression).await?;
                count.fetch_add(batch, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    all(tasks).await?;
    Ok(clock.rate(count.load(Ordering::Relaxed)))
}
