//! Uploads to a server that is killed again and again. `TEST_UPLOADS` is their number, `TEST_UPLOAD_FAULTS` what
//! `FILESYS_FAULTS` is for the server (of a build with the feature `chaos`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filesys::domain::FileId;
use futures_util::{StreamExt, stream};

use super::{
    MIB, PAUSE, assert_holds, content, finish, named_keys, removals_end, sha256, try_create, try_send,
};
use crate::support::process::Process;
use crate::support::{Api, Ground, Ports, eventually, eventually_within, holds};

const SIZES: [usize; 12] = [
    0,
    1,
    1000,
    64 * 1024 + 1,
    MIB,
    5 * MIB - 1,
    5 * MIB,
    8 * MIB,
    8 * MIB + 1,
    13 * MIB,
    17 * MIB,
    24 * MIB,
];
/// Uploads of one run, if nothing else is asked for.
const UPLOADS: usize = 60;
/// Uploads at once.
const CLIENTS: usize = 8;
/// Kills of a run of `UPLOADS`.
const KILLS: u64 = 12;
/// Time limit of the uploads after the last kill.
const LIMIT: Duration = Duration::from_mins(4);

fn name_of(number: usize) -> String {
    format!("file-{number}.bin")
}

fn content_of(number: usize) -> Bytes {
    content(number, SIZES[number % SIZES.len()])
}

/// Uploads one file, by a form or by tus, and returns its id once a server has answered that it is there.
async fn upload(api: &Api, number: usize) -> FileId {
    let bytes = content_of(number);
    if number % 5 == 4 {
        return upload_form(api, number, &bytes).await;
    }
    let id = loop {
        match try_create(api, &name_of(number), bytes.len()).await {
            Some(id) => break id,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    // Some bring everything at once, others in pieces that are no parts.
    let chunk = [usize::MAX / 2, 3 * MIB + 7, 6 * MIB][number % 3];
    finish(api, id, &bytes, chunk).await;
    id
}

async fn upload_form(api: &Api, number: usize, bytes: &[u8]) -> FileId {
    let head = format!(
        "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\r\n",
        name_of(number)
    );
    let body = Bytes::from([head.as_bytes(), bytes, b"\r\n--limit--\r\n"].concat());
    loop {
        let request = api
            .request(reqwest::Method::POST, "/files")
            .header("Content-Type", "multipart/form-data; boundary=limit")
            .body(body.clone());
        match try_send(request).await {
            Some(answer) if answer.status == 201 => {
                return FileId(answer.json::<serde_json::Value>()["id"].as_i64().unwrap());
            }
            Some(answer) if answer.status < 500 => panic!("{}: {}", answer.status, answer.text()),
            Some(_) | None => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn spawn(ground: &Ground, port: &str, faults: Option<(&str, &str)>) -> Process {
    let data_dir = ground.log().with_file_name("data");
    let settings: Vec<(&str, &str)> = [("PORT", port)].into_iter().chain(faults).collect();
    Process::spawn(&["up", "--data-dir", data_dir.to_str().unwrap()], &ground.env(&settings), &ground.log())
}

#[tokio::test]
async fn uploads_to_a_server_that_is_killed_again_and_again_are_there_byte_for_byte_and_nothing_else_is() {
    let setting = |name: &str| std::env::var(name).ok();
    let uploads = setting("TEST_UPLOADS").map_or(UPLOADS, |number| number.parse().unwrap());
    let faults = setting("TEST_UPLOAD_FAULTS");
    let faults = faults.as_deref().map(|faults| ("FILESYS_FAULTS", faults));
    let ground = Ground::new().await;
    let ports = Ports::reserve();
    let port = ports.first.to_string();
    let api = Arc::new(Api::at(&format!("http://127.0.0.1:{port}")));

    let mut server = spawn(&ground, &port, faults);
    let client = Arc::clone(&api);
    let clients = tokio::spawn(async move {
        let one = |number| {
            let client = Arc::clone(&client);
            async move { (number, upload(&client, number).await) }
        };
        stream::iter(0..uploads).map(one).buffer_unordered(CLIENTS).collect::<Vec<_>>().await
    });
    let kills = if uploads > UPLOADS { u64::MAX } else { KILLS };
    let mut killed = 0;
    while killed < kills && !clients.is_finished() {
        // A crash point may have ended it.
        for _ in 0..100 {
            let ready = api.request(reqwest::Method::GET, "/readyz");
            if try_send(ready).await.is_some_and(|answer| answer.status == 200) {
                break;
            }
            tokio::time::sleep(PAUSE / 2).await;
        }
        tokio::time::sleep(Duration::from_millis(300 + killed * 370 % 1500)).await;
        server.kill9().await;
        killed += 1;
        server = spawn(&ground, &port, faults);
    }
    if faults.is_some() {
        server.kill9().await;
        server = spawn(&ground, &port, None);
    }
    let answered = tokio::time::timeout(LIMIT, clients).await.expect("every upload is answered").unwrap();
    assert_eq!(answered.len(), uploads);

    // What a client doesn't know of, because the answer with its address was lost.
    let connection = ground.database.connect().await;
    connection.execute("UPDATE uploads SET expires_at = now() - interval '1 s'", &[]).await.unwrap();
    for (what, sql) in [
        ("no upload is unfinished", "SELECT count(*) FROM files WHERE status NOT IN ('completed', 'failed')"),
        ("no row of an upload is left", "SELECT count(*) FROM uploads"),
        ("every event is published", "SELECT count(*) FROM outbox"),
    ] {
        eventually(what, async || {
            let left: i64 = ground.database.one(sql).await;
            holds(left == 0, left)
        })
        .await;
    }
    removals_end(&ground.database).await;
    eventually_within(LIMIT, "it is ready", async || {
        let answer = try_send(api.request(reqwest::Method::GET, "/readyz")).await.ok_or("no answer")?;
        holds(answer.status == 200, answer.status)
    })
    .await;
    server.stop_within(Duration::from_secs(30)).await;

    let keys = named_keys(&ground.database, &ground.bucket).await;
    assert_holds(&ground.bucket, &keys).await;
    let files = compare_files(&ground, &connection, &answered).await;
    eprintln!("{uploads} uploads, {killed} kills, {files} files");

    let fsck = tokio::process::Command::new(env!("CARGO_BIN_EXE_filesys"))
        .args(["fsck", "--grace", "0s", "--checksums", "all"])
        .env_clear()
        .envs(ground.env(&[]))
        .output();
    let fsck = fsck.await.unwrap();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

/// Compares every file with what its client sent, and what was answered with the files. Returns the number of files.
async fn compare_files(
    ground: &Ground,
    connection: &tokio_postgres::Client,
    answered: &[(usize, FileId)],
) -> usize {
    let sql =
        "SELECT id, file_name, sha256, size, s3_location FROM files WHERE status = 'completed' ORDER BY id";
    let rows = connection.query(sql, &[]).await.unwrap();
    let mut there = std::collections::BTreeMap::new();
    for row in &rows {
        let (id, name): (i64, String) = (row.get(0), row.get(1));
        let number = name.strip_prefix("file-").unwrap().strip_suffix(".bin").unwrap().parse().unwrap();
        let (bytes, location) = (content_of(number), row.get::<_, String>(4));
        let whole = sha256(&bytes);
        assert_eq!(
            (row.get::<_, String>(2), usize::try_from(row.get::<_, i64>(3)).unwrap()),
            (whole.clone(), bytes.len()),
            "{id}"
        );
        let key = location.strip_prefix(&format!("s3://{}/", ground.bucket.name())).unwrap();
        assert_eq!(sha256(&ground.bucket.object(key).await), whole, "{key}");
        there.insert(FileId(id), number);
    }
    for (number, id) in answered {
        assert_eq!(there.get(id), Some(number), "file {id} was answered");
    }
    rows.len()
}
