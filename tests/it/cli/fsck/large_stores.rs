//! Stores with many objects: several pages, samples, bounded memory.

use std::process::Stdio;

use filesys::storage::Storage;
use futures_util::StreamExt;
use tokio::process::Command;

use super::{env, fsck, sql};
use crate::support::roles::Roles;
use crate::support::{Bucket, Database, within};

const FILES: i64 = 2000;
/// Memory limit of a debug build, independent of the number of objects; most of it is used before the first one.
const MEMORY_MAX_KIB: u64 = 128 * 1024;

/// Makes many rows and objects; the rows say that each object is `x`.
async fn large_store(content: &'static [u8]) -> Roles {
    let roles = Roles::new().await;
    sql(
        &roles,
        &format!(
            "INSERT INTO files (title, status, s3_location, size, sha256, deadline_at)
             SELECT 'x', 'completed', format('s3://{}/files/%s_x_1.txt', n), 1,
                    encode(sha256('x'), 'hex'), now() FROM generate_series(1, {FILES}) AS n;
             ANALYZE files",
            roles.bucket.name()
        ),
    )
    .await;
    let storage = &roles.ctx.storage;
    futures_util::stream::iter(1..=FILES)
        .for_each_concurrent(16, |id| async move { put(storage, id, content).await })
        .await;
    roles
}

async fn put(storage: &Storage, id: i64, content: &'static [u8]) {
    let key = format!("files/{id}_x_1.txt");
    storage.put(&key, "text/plain", &bytes::Bytes::from_static(content)).await.unwrap();
}

#[tokio::test]
async fn of_many_objects_each_is_met_once_in_bounded_memory() {
    let roles = large_store(b"x").await;
    // The last of a page and the first of the next one are no exceptions; neither is the last of all.
    let keys = roles.bucket.keys().await;
    for key in [&keys[999], &keys[1000], &keys[1999]] {
        roles.bucket.remove(key).await;
    }
    let (run, peak) = measured(&roles.database, &roles.bucket).await;
    assert_eq!((run.code, run.counts()["missing_object"]), (1, (3, 0)), "{}", run.stderr);
    assert_eq!(run.findings().len(), 3);
    assert_eq!((run.number("objects"), run.number("files"), run.number("read")), (1997, 2000, 1997));
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    roles.stop().await;
}

#[tokio::test]
async fn a_sample_is_a_thousand_files_and_the_same_ones_for_the_same_seed() {
    let roles = large_store(b"y").await;
    let run = async |args: &[&str]| {
        fsck(&[&["--output", "json"], args].concat(), env(&roles.database, &roles.bucket)).await
    };
    let none = run(&["--checksums", "none"]).await;
    assert_eq!((none.code, none.number("read")), (0, 0), "the sizes are right: {}", none.stdout);

    let first = run(&["--seed", "7"]).await;
    assert_eq!((first.code, first.number("read")), (1, 1000), "{}", first.stderr);
    assert_eq!(first.counts()["altered_object"], (1000, 0));
    assert_eq!(run(&["--seed", "7"]).await.findings(), first.findings());
    assert_ne!(run(&["--seed", "8"]).await.findings(), first.findings());

    let all = run(&["--checksums", "all"]).await;
    assert_eq!(all.counts()["altered_object"], (2000, 0));
    roles.stop().await;
}

/// Runs it, and measures its peak memory in KiB.
async fn measured(database: &Database, bucket: &Bucket) -> (super::Run, u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_filesys"))
        .args(["fsck", "--output", "json", "--checksums", "all"])
        .env_clear()
        .envs(env(database, bucket))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut peak = 0;
    let ended = async {
        loop {
            if let Some(ended) = child.try_wait().unwrap() {
                return ended;
            }
            let text = tokio::fs::read_to_string(&status).await.unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
            peak = kib.unwrap_or(peak).max(peak);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ended = within(super::LIMIT, "fsck ends", ended).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(peak > 0, "it was measured");
    let document = serde_json::from_str(&stdout).unwrap_or_default();
    (super::Run { code: ended.code().unwrap(), document, stdout, stderr }, peak)
}
