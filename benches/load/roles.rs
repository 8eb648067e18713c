//! The roles of one run: their address and rows, what they cost, and how they are ended.

use std::sync::Arc;
use std::time::Duration;

use s3::Bucket;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio_postgres::NoTls;
use url::Url;

use super::processes::{Usages, usage};
use super::{Outcome, launch};

/// Families of several processes.
const FAMILIES: [&str; 2] = ["postgresql", "up, with its PostgreSQL"];

/// Notifications of commits that enqueue messages, as other processes get them.
pub struct Commits {
    pub notified: Arc<Notify>,
    /// The connection lives as long as this.
    _client: tokio_postgres::Client,
}

/// Rows and objects after a run.
#[derive(Debug)]
pub struct EndState {
    pub completed: i64,
    pub outbox: i64,
    pub objects: usize,
    /// From each file's creation to its completion, as the rows tell.
    pub millis: Vec<f64>,
}

/// The roles of one run.
pub struct Roles {
    /// Name of their database, bucket and topics.
    pub name: String,
    /// `host:port` of the API.
    pub address: String,
    pub database: tokio_postgres::Client,
    /// Address of the database.
    pub url: Url,
    pub bucket: Bucket,
    /// Environment of the roles.
    pub env: Vec<(&'static str, String)>,
    /// Processes whose cost is counted, by name.
    pub watched: Vec<(&'static str, u32)>,
    /// Processes of the roles, `serve` or `up` first.
    pub processes: Vec<Child>,
}

impl Roles {
    pub fn watch(&mut self, name: &'static str, pid: Option<u32>) {
        self.watched.extend(pid.map(|pid| (name, pid)));
    }

    /// Opens a session that listens. PostgreSQL wakes every listener at each such commit, so only runs that need it do this.
    pub async fn listen_for_commits(&self) -> Outcome<Commits> {
        let (client, mut connection) = tokio_postgres::connect(self.url.as_str(), NoTls).await?;
        let notified = Arc::new(Notify::new());
        let wake = Arc::clone(&notified);
        // Ends with the client.
        tokio::spawn(async move {
            while let Some(Ok(_)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                wake.notify_one();
            }
        });
        client.batch_execute("LISTEN filesys_outbox").await?;
        Ok(Commits { notified, _client: client })
    }

    pub fn usage(&self) -> Usages {
        Usages(
            self.watched
                .iter()
                .map(|(name, pid)| ((*name).to_owned(), usage(*pid, FAMILIES.contains(name))))
                .collect(),
        )
    }

    /// Tells whether every file has reached its end: one cheap query, whatever the number of files.
    pub async fn is_finished(&self) -> Outcome<bool> {
        let sql = "SELECT NOT EXISTS (SELECT FROM files WHERE status IN ('pending', 'processing'))";
        Ok(self.database.query_one(sql, &[]).await?.get(0))
    }

    /// Number of members that made files, the first `skipped` files aside.
    pub async fn makers(&self, skipped: usize) -> Outcome<usize> {
        let sql =
            "SELECT count(DISTINCT worker) FROM transitions WHERE to_status = 'completed' AND file_id > $1";
        let makers: i64 = self.database.query_one(sql, &[&i64::try_from(skipped)?]).await?.get(0);
        Ok(usize::try_from(makers)?)
    }

    /// Counts rows and objects, and how long each file took, the first `skipped` files aside. Waits a moment for the outbox,
    /// which may still hold events.
    pub async fn end_state(&self, skipped: usize) -> Outcome<EndState> {
        let mut outbox: i64 = i64::MAX;
        for _ in 0..500 {
            outbox = self.database.query_one("SELECT count(*) FROM outbox", &[]).await?.get(0);
            if outbox == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let completed = "SELECT count(*) FROM files WHERE status = 'completed'";
        let completed: i64 = self.database.query_one(completed, &[]).await?.get(0);
        let millis = "SELECT (extract(epoch FROM t.at - f.created_at) * 1000)::float8 FROM transitions t \
                      JOIN files f ON f.id = t.file_id WHERE t.to_status = 'completed' AND f.id > $1";
        let millis = self
            .database
            .query(millis, &[&i64::try_from(skipped)?])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let pages = self.bucket.list(String::new(), None).await?;
        let objects = pages.iter().map(|page| page.contents.len()).sum();
        Ok(EndState { completed, outbox, objects, millis })
    }

    /// Stops the workers; `serve` continues.
    pub async fn stop_workers(&mut self) -> Outcome<()> {
        self.end(1).await?;
        self.watched.retain(|(name, _)| !name.starts_with("worker"));
        Ok(())
    }

    /// Ends processes in reverse order of their start, down to number `first`.
    pub async fn end(&mut self, first: usize) -> Outcome<()> {
        for role in self.processes.drain(first..).rev() {
            launch::end(role).await?;
        }
        Ok(())
    }
}
