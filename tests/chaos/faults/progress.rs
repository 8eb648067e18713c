//! Time until the next file is completed, read from PostgreSQL past its proxy.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

const LOOK: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(2);

pub struct Progress {
    url: String,
    client: Option<Client>,
}

impl Progress {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), client: None }
    }

    /// From now to the next file that is completed; `None` when none is within the limit.
    pub async fn first(&mut self, limit: Duration) -> Option<Duration> {
        let since = Instant::now();
        let mut before = None;
        while since.elapsed() < limit {
            match (before, self.last_completed().await) {
                (None, now) => before = now,
                (Some(before), Some(now)) if now > before => return Some(since.elapsed()),
                (Some(_), _) => {}
            }
            sleep(LOOK).await;
        }
        None
    }

    /// The last line of the history that says so; 0 when there is none.
    async fn last_completed(&mut self) -> Option<i64> {
        const SQL: &str = "SELECT COALESCE(max(id), 0) FROM transitions WHERE to_status = 'completed'";
        if self.client.is_none() {
            let (client, connection) =
                timeout(LIMIT, tokio_postgres::connect(&self.url, NoTls)).await.ok()?.ok()?;
            // Ends when the client is dropped, or cut.
            drop(tokio::spawn(async move { drop(connection.await) }));
            self.client = Some(client);
        }
        let answer = timeout(LIMIT, self.client.as_ref()?.query_one(SQL, &[])).await;
        let last = answer.ok().and_then(Result::ok).map(|row| row.get(0));
        if last.is_none() {
            self.client = None;
        }
        last
    }
}
