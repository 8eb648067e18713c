//! `filesys fsck`: everything that can be wrong is found, nothing else is, and a repair changes what it says.

mod findings;
mod large_stores;
mod repairs;
mod uploads;

use std::collections::BTreeMap;
use std::process::Stdio;

use filesys::domain::{File, FileId, Status};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::process::Command;

use crate::support::roles::Roles;
use crate::support::{Bucket, Database, eventually, holds, within};

/// Time limit of a run over some thousand objects.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(2);

/// Run of the executable, with its JSON document.
struct Run {
    code: i32,
    document: Value,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Findings in order: kind, file, key.
    fn findings(&self) -> Vec<(String, Option<i64>, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = self
            .list()
            .iter()
            .map(|finding| (text(&finding["kind"]), finding["file_id"].as_i64(), text(&finding["key"])))
            .collect();
        found.sort();
        found
    }

    fn list(&self) -> &Vec<Value> {
        self.document["findings"].as_array().unwrap_or_else(|| panic!("{}{}", self.stdout, self.stderr))
    }

    /// Numbers found and repaired, by kind.
    fn counts(&self) -> BTreeMap<String, (u64, u64)> {
        let counts = self.document["counts"].as_array().unwrap_or_else(|| panic!("{}", self.stderr));
        let number = |count: &Value, name: &str| count[name].as_u64().unwrap();
        counts
            .iter()
            .map(|count| {
                let kind = count["kind"].as_str().unwrap().to_owned();
                (kind, (number(count, "found"), number(count, "repaired")))
            })
            .filter(|(_, (found, _))| *found > 0)
            .collect()
    }

    fn number(&self, name: &str) -> u64 {
        self.document[name].as_u64().unwrap_or_else(|| panic!("{name}: {}", self.document))
    }
}

fn env(database: &Database, bucket: &Bucket) -> Vec<(&'static str, String)> {
    let s3 = &bucket.config;
    vec![
        ("DATABASE_URL", database.url().expose_secret().to_owned()),
        ("S3_ENDPOINT", s3.endpoint.clone().unwrap()),
        ("S3_BUCKET", s3.bucket.clone()),
        ("AWS_ACCESS_KEY_ID", s3.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_access_key.expose_secret().to_owned()),
    ]
}

async fn fsck(args: &[&str], env: Vec<(&'static str, String)>) -> Run {
    let child = Command::new(env!("CARGO_BIN_EXE_filesys"))
        .arg("fsck")
        .args(args)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(LIMIT, "fsck ends", child).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let document = serde_json::from_str(&stdout).unwrap_or_default();
    Run { code: output.status.code().expect("it ended by itself"), document, stdout, stderr }
}

/// Checks the services of these roles without a grace period.
async fn look(roles: &Roles, args: &[&str]) -> Run {
    let usual = ["--output", "json", "--grace", "0s", "--checksums", "all"];
    fsck(&[&usual, args].concat(), env(&roles.database, &roles.bucket)).await
}

/// Starts roles, and makes a completed file of each title.
async fn completed(titles: &[&str]) -> (Roles, Vec<File>) {
    let roles = Roles::new().await.with_intake().with_relay().with_worker().await.with_results().await;
    let mut files = Vec::new();
    for title in titles {
        files.push(roles.request(title).await);
    }
    for file in &mut files {
        *file = eventually("the file is completed", async || {
            let now = roles.file(file.id).await;
            if now.status == Status::Completed { Ok(now) } else { Err(format!("{now:?}")) }
        })
        .await;
    }
    eventually("the outbox is empty", async || {
        let left = roles.ctx.db.outbox().size().await.unwrap();
        holds(left == 0, left)
    })
    .await;
    (roles, files)
}

fn key_of(roles: &Roles, file: &File) -> String {
    let prefix = format!("s3://{}/", roles.bucket.name());
    file.s3_location.as_deref().unwrap().strip_prefix(&prefix).unwrap().to_owned()
}

async fn sql(roles: &Roles, statement: &str) {
    roles.database.connect().await.batch_execute(statement).await.unwrap();
}

/// Inserts a row of a file with a deadline in `deadline_in` seconds.
async fn plant_file(roles: &Roles, status: &str, deadline_in: i64) -> FileId {
    let id: i64 = roles
        .database
        .one(&format!(
            "INSERT INTO files (title, status, deadline_at)
             VALUES ('planted', '{status}', now() + interval '{deadline_in} s') RETURNING id"
        ))
        .await;
    FileId(id)
}

/// A line of the outbox, so many seconds old.
async fn plant_record(roles: &Roles, id: FileId, age: i64, parked: bool) {
    let parked = if parked { "now(), 'too large'" } else { "NULL, NULL" };
    sql(
        roles,
        &format!(
            "INSERT INTO outbox (event_id, topic, value, file_id, created_at, parked_at, park_reason) VALUES
             (gen_random_uuid(), 'file.create', '{{}}', {id}, now() - interval '{age} s', {parked})"
        ),
    )
    .await;
}
