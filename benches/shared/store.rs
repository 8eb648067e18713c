//! S3 server of a bench: a process of its own, which keeps objects in a folder.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use filesys::embedded::{DataDir, Durability, EmbeddedS3, S3Options};
use s3::creds::Credentials;
use s3::{Bucket, Region};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Outcome;

/// File system in memory.
pub const MEMORY: &str = "/dev/shm";

#[derive(Debug, Clone)]
pub struct S3 {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

impl S3 {
    /// `host:port`
    pub fn host(&self) -> String {
        self.endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// Credentials as variables of the environment.
    pub fn credentials(&self) -> [(&'static str, String); 2] {
        [("AWS_ACCESS_KEY_ID", self.access_key.clone()), ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone())]
    }
}

/// Runs the S3 server of a bench: a process of its own, so that its cost is measured apart.
pub async fn serve(dir: &Path, durability: Durability) -> Outcome<()> {
    let options = S3Options { data_dir: DataDir::open(dir)?, durability };
    let s3 = EmbeddedS3::start(options).await?;
    let secret = s3.secret_access_key().expose_secret();
    writeln!(std::io::stdout(), "{} {} {secret}", s3.endpoint(), s3.access_key_id())?;
    std::future::pending().await
}

/// Takes the server that the environment names, else starts one whose objects are below `folder`, or in memory if there is a
/// folder for that.
pub async fn named_or_started(folder: &Path, memory: Option<&TempDir>) -> Outcome<(Option<Child>, S3)> {
    if let Ok(endpoint) = std::env::var("S3_ENDPOINT") {
        let variable = std::env::var;
        let (access_key, secret_key) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        return Ok((None, S3 { endpoint, access_key, secret_key }));
    }
    let dir = memory.map_or(folder, TempDir::path).join("s3");
    let (process, s3) = start(&dir, memory.is_some()).await?;
    Ok((Some(process), s3))
}

async fn start(dir: &Path, in_memory: bool) -> Outcome<(Child, S3)> {
    let mut server = Command::new(std::env::current_exe()?);
    if in_memory {
        server.arg("--s3-in-memory");
    }
    server.arg("--s3-server").arg(dir).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = server.spawn()?;
    let stdout = process.stdout.take().ok_or("no pipe")?;
    let line = BufReader::new(stdout).lines().next_line().await?.ok_or("the S3 server did not start")?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().ok_or("the S3 server printed something else");
    let s3 = S3 { endpoint: word()?, access_key: word()?, secret_key: word()? };
    Ok((process, s3))
}

/// Reads where the S3 server of a running `filesys up` is.
pub fn of_up(data_dir: &Path) -> Outcome<S3> {
    let read = |name: &str| std::fs::read_to_string(data_dir.join(name));
    let credentials = read("s3.credentials")?;
    let value = |name: &str| {
        let line = credentials.lines().find(|line| line.trim().starts_with(name));
        line.and_then(|line| line.split('=').nth(1)).unwrap_or_default().trim().to_owned()
    };
    Ok(S3 {
        endpoint: format!("http://127.0.0.1:{}", read("s3.port")?.trim()),
        access_key: value("aws_access_key_id"),
        secret_key: value("aws_secret_access_key"),
    })
}

pub fn bucket(s3: &S3, name: &str) -> Outcome<Bucket> {
    let region = Region::Custom { region: "us-east-1".to_owned(), endpoint: s3.endpoint.clone() };
    let credentials = Credentials::new(Some(&s3.access_key), Some(&s3.secret_key), None, None, None)?;
    Ok(*Bucket::new(name, region, credentials)?.with_path_style())
}
