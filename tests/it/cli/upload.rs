//! `filesys upload`: folders and odd names, what is printed, interruptions, a server that restarts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use filesys::domain::FileId;
use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{code, filesys, stderr, stdout};
use crate::support::process::Process;
use crate::support::proxy::gate::Gate;
use crate::support::{Api, PATIENCE, Ports, TestApp};

const MIB: usize = 1 << 20;

/// Machine of a client: a home, and files to upload.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn home(&self) -> String {
        self.path("home").to_str().unwrap().to_owned()
    }

    fn upload(&self, url: &str, args: &[&str]) -> Output {
        filesys(&[&["upload", "--url", url], args].concat(), &[("HOME", &self.home())])
    }

    /// Starts an upload of one file, whose record is printed.
    fn spawn(&self, url: &str, file: &str) -> Process {
        let args = ["upload", "--url", url, "--json", file];
        Process::spawn(&args, &[("HOME".to_owned(), self.home())], &self.path("stderr.log"))
    }

    /// Uploads that are remembered.
    fn remembered(&self) -> Vec<Value> {
        let state = self.path("home/.local/state/filesys/uploads.json");
        let state: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
        state["uploads"].as_array().unwrap().clone()
    }
}

/// Bytes that repeat nowhere within a part.
fn noise(length: usize) -> Vec<u8> {
    let blocks = (0_u64..).flat_map(|number| Sha256::digest(number.to_le_bytes()));
    blocks.take(length).collect()
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Record of a line, whose content must be these bytes.
async fn assert_stored(api: &Api, line: &str, bytes: &[u8]) {
    let record: Value = serde_json::from_str(line).unwrap();
    assert_eq!(record["sha256"], hex(bytes), "{record}");
    assert_eq!(record["size"], bytes.len(), "{record}");
    assert_eq!(record["status"], "completed", "{record}");
    let content = api.content(FileId(record["id"].as_i64().unwrap())).await.ok();
    assert!(content.body == bytes, "the content differs");
}

#[tokio::test]
async fn a_folder_is_uploaded_with_all_that_is_in_it() {
    let (app, machine) = (TestApp::start().await, Machine::new());
    let names = [
        ("empty", 0),
        ("one", 1),
        ("large.bin", 9 * MIB),
        ("größer 😀.txt", 10),
        ("quotes \" and, commas;.csv", 11),
        ("a\nb.txt", 12),
        (".hidden", 13),
        ("con.txt", 14),
        ("below/it/-x.txt", 15),
        ("below/it/\u{202e}txt.exe", 16),
    ];
    let mut expected: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, length) in names {
        let bytes = noise(length);
        machine.write(&format!("my folder/{name}"), &bytes);
        expected.insert(hex(&bytes), bytes);
    }
    let folder = machine.path("my folder");
    let args = [
        "--json",
        "--folder",
        "base",
        "--tag",
        "a",
        "--tag",
        "b c",
        "--owner",
        "u1",
        folder.to_str().unwrap(),
    ];
    let output = machine.upload(&app.base, &args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let printed = stdout(&output);
    assert_eq!(printed.lines().count(), names.len(), "{printed}");
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for line in printed.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let bytes = expected.remove(record["sha256"].as_str().unwrap()).unwrap();
        assert_stored(&app, line, &bytes).await;
        assert_eq!(record["tags"], serde_json::json!(["a", "b c"]));
        assert_eq!(record["uploaded_by"], "u1");
        *folders.entry(record["folder"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let all = [("base/my folder".to_owned(), 8), ("base/my folder/below/it".to_owned(), 2)];
    assert_eq!(folders, BTreeMap::from(all));
    assert!(printed.contains("größer 😀.txt"), "{printed}");
    assert!(machine.remembered().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn people_get_a_line_for_each_file() {
    let (app, machine) = (TestApp::start().await, Machine::new());
    let file = machine.write("a.txt", b"abc");
    let output = machine.upload(&app.base, &[&file, "--title", "A title"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let line = format!("file 1: {file}, 3 bytes, SHA-256 {}\n", hex(b"abc"));
    assert_eq!(stdout(&output), line);
    assert_eq!(stderr(&output), format!("{file}: uploading 3 bytes\n"));
    assert_eq!(app.file(FileId(1)).await.title, "A title");
    app.stop().await;
}

#[tokio::test]
async fn one_file_that_fails_is_told_and_the_others_are_uploaded() {
    let (app, machine) = (TestApp::start().await, Machine::new());
    let (file, absent) = (machine.write("a.txt", b"abc"), machine.path("absent"));
    let output = machine.upload(&app.base, &["--json", &file, absent.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert_stored(&app, stdout(&output).trim(), b"abc").await;
    assert!(stderr(&output).contains("absent: it can't be read"), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("filesys: 1 of 2 not uploaded\n"), "{}", stderr(&output));
    let output = machine.upload(&app.base, &["--tag", "a,\u{7}", &file]);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    assert!(stderr(&output).contains("a tag must not contain"), "{}", stderr(&output));
    app.stop().await;
}

#[test]
fn a_wrong_command_line_and_a_server_that_is_away_have_exit_codes_of_their_own() {
    let machine = Machine::new();
    let file = machine.write("a.txt", b"abc");
    let away = machine.upload("http://127.0.0.1:1", &["--retry-for", "1s", &file]);
    assert_eq!(code(&away), 69, "{}", stderr(&away));
    assert!(stderr(&away).contains("http://127.0.0.1:1 can't be reached"), "{}", stderr(&away));
    assert!(stderr(&away).contains("trying again for up to 1s"), "{}", stderr(&away));
    for args in [&["--parallel", "0", &file][..], &["--retry-for", "soon", &file], &[]] {
        assert_eq!(code(&machine.upload("http://127.0.0.1:1", args)), 2, "{args:?}");
    }
    assert_eq!(code(&machine.upload("ftp://h", &[&file])), 2);
    assert_eq!(code(&filesys(&["upload", &file], &[("FILESYS_URL", "ftp://h")])), 78);
}

/// Size of the file that is interrupted, and number of its bytes that pass before.
const WHOLE: usize = 20 * MIB;
const BEFORE: u64 = 12 << 20;

#[tokio::test]
async fn an_interrupted_upload_continues_where_it_was() {
    let (app, machine) = (TestApp::start().await, Machine::new());
    let bytes = noise(WHOLE);
    let file = machine.write("large.bin", &bytes);
    let gate = Gate::start(app.address(), BEFORE).await;
    let upload = machine.spawn(&gate.url(), &file);
    gate.closed().await;
    upload.ends_at_once(Signal::SIGINT).await;
    assert_eq!(machine.remembered().len(), 1);
    let before = gate.passed();
    gate.cut();
    gate.open();
    let mut upload = machine.spawn(&gate.url(), &file);
    let line = upload.line().await;
    let log = upload.log();
    upload.succeed_within(PATIENCE).await;
    assert_stored(&app, &line, &bytes).await;
    assert!(
        log.contains("interrupted; the same command continues") && log.contains("continues at byte"),
        "{log}"
    );
    let again = gate.passed() - before;
    assert!(again < WHOLE as u64 - (8 << 20), "{again} bytes were sent by the second run");
    assert!(machine.remembered().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn an_upload_outlives_a_restart_of_the_server() {
    let (ports, machine) = (Ports::reserve(), Machine::new());
    let port = ports.first.to_string();
    let app = TestApp::start_with(&[("PORT", &port)]).await;
    let bytes = noise(WHOLE);
    let file = machine.write("large.bin", &bytes);
    let gate = Gate::start(app.address(), BEFORE).await;
    let mut upload = machine.spawn(&gate.url(), &file);
    gate.closed().await;
    let ground = app.kill9().await;
    gate.open();
    let app = ground.start(&[("PORT", &port)]).await;
    let line = upload.line().await;
    let log = upload.log();
    upload.succeed_within(PATIENCE).await;
    assert_stored(&app, &line, &bytes).await;
    assert!(log.contains("trying again for up to"), "{log}");
    app.stop().await;
}

#[tokio::test]
async fn an_upload_that_the_server_has_ended_begins_again() {
    let (app, machine) = (TestApp::start().await, Machine::new());
    let bytes = noise(MIB);
    let file = machine.write("a.bin", &bytes);
    let gate = Gate::start(app.address(), 1 << 19).await;
    let upload = machine.spawn(&gate.url(), &file);
    gate.closed().await;
    upload.ends_at_once(Signal::SIGINT).await;
    gate.cut();
    gate.open();
    let url = machine.remembered()[0]["url"].as_str().unwrap().to_owned();
    let id = url.rsplit_once("/uploads/").unwrap().1;
    let request = app.request(reqwest::Method::DELETE, &format!("/uploads/{id}"));
    let ended = request.header("Tus-Resumable", "1.0.0").send().await.unwrap();
    assert_eq!(ended.status(), 204);
    let mut upload = machine.spawn(&gate.url(), &file);
    let line = upload.line().await;
    let log = upload.log();
    upload.succeed_within(PATIENCE).await;
    assert_stored(&app, &line, &bytes).await;
    assert!(log.contains("it begins again"), "{log}");
    app.stop().await;
}
