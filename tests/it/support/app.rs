//! `filesys up` as a process, with its own database, bucket and topics, which the next start may use again.

use std::ops::Deref;
use std::time::Duration;

use filesys::domain::{FileId, Status};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::process::{Process, STOP_LIMIT};
use super::{Api, Bucket, Database, SharedKafka};

/// Database, bucket and topics, which outlive a process.
pub struct Ground {
    pub database: Database,
    pub bucket: Bucket,
    /// `None` for the embedded broker, whose records end with the process.
    pub kafka: Option<SharedKafka>,
    dir: TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        Self {
            database: Database::migrated().await,
            bucket: Bucket::named_uniquely(),
            kafka: SharedKafka::named(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts `filesys up` with more settings, which override the usual ones; it is ready when this returns.
    pub async fn start(self, settings: &[(&str, &str)]) -> TestApp {
        let data_dir = self.dir.path().join("data");
        let mut process = Process::spawn(
            &["up", "--data-dir", data_dir.to_str().unwrap()],
            &self.env(settings),
            &self.log(),
        );
        let line = process.line().await;
        let url = line.strip_prefix("filesys is ready: ").expect("the first line is the address");
        TestApp { api: Api::at(url), process, ground: self }
    }

    /// Whole environment of a process: nothing is inherited.
    pub fn env(&self, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let s3 = &self.bucket.config;
        let endpoint = s3.endpoint.as_deref().unwrap();
        let usual = [
            ("PORT", "0"),
            // Steps of files, which tests wait for.
            ("RUST_LOG", "warn,filesys=info,filesys::actions=debug,filesys::consumer=debug"),
            ("DATABASE_URL", self.database.url().expose_secret()),
            ("S3_ENDPOINT", endpoint),
            ("S3_BUCKET", &s3.bucket),
            ("AWS_ACCESS_KEY_ID", &s3.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", s3.secret_access_key.expose_secret()),
        ];
        let kafka = self.kafka.as_ref().map(SharedKafka::settings);
        // The last one of a name wins.
        let all = usual.iter().chain(kafka.iter().flatten()).chain(settings);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    pub fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("stderr.log")
    }
}

/// A running `filesys up` and a client of its HTTP interface.
pub struct TestApp {
    pub api: Api,
    // Before the ground: the process goes first, then what it stands on.
    pub process: Process,
    pub ground: Ground,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Ground::new().await.start(settings).await
    }

    /// Starts it with a `BASE_URL` among the settings; the client uses the address that it listens on.
    pub async fn start_at(settings: &[(&str, &str)]) -> Self {
        let mut app = Self::start_with(settings).await;
        let line = app.process.line().await;
        app.api = Api::at(line.trim().strip_prefix("it listens:").expect("the second line is where").trim());
        app
    }

    /// Puts a record on a topic, through the outbox: no other process reaches the broker of `up`.
    pub async fn publish(&self, topic: &str, value: &str) {
        let connection = self.ground.database.connect().await;
        let sql =
            "INSERT INTO outbox (event_id, topic, value, file_id) VALUES (gen_random_uuid(), $1, $2, 0)";
        connection.execute(sql, &[&topic, &value.as_bytes()]).await.unwrap();
    }

    /// Makes a file fail by an unreadable request, which becomes a dead letter.
    pub async fn broken_file(&self) -> FileId {
        let sql = "INSERT INTO files (title, deadline_at) VALUES ('broken', now() + interval '1 hour') RETURNING id";
        let id = FileId(self.ground.database.one(sql).await);
        self.publish("file.create", &format!(r#"{{"fileId":{id},"title":7,"timestamp":"<never>"}}"#)).await;
        self.wait_until(id, Status::Failed).await;
        id
    }

    pub async fn stop(self) -> Ground {
        self.stop_within(STOP_LIMIT).await
    }

    pub async fn stop_within(self, limit: Duration) -> Ground {
        self.process.stop_within(limit).await;
        self.ground
    }

    pub async fn interrupt_twice(self) -> Ground {
        self.process.interrupt_twice().await;
        self.ground
    }

    pub async fn kill9(self) -> Ground {
        self.process.kill9().await;
        self.ground
    }
}

impl Deref for TestApp {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}
