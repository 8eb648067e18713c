//! tus-js-client, the library that most pages upload with, against the real executable.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::consistency::rows_and_objects_agree;
use crate::support::{PATIENCE, TestApp, not_run, within};

#[tokio::test]
async fn tus_js_client_stores_every_byte_whole_in_chunks_cut_and_resumed() {
    let program = || Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/interop"));
    let status = within(PATIENCE, "scripts/interop status", program().arg("status").output()).await.unwrap();
    if !status.status.success() {
        not_run(String::from_utf8_lossy(&status.stderr).trim());
        return;
    }
    let app = TestApp::start().await;
    let endpoint = format!("{}/uploads", app.base);
    let run = program().args(["tus", &endpoint]).stdin(Stdio::null()).kill_on_drop(true).output();
    let run = within(PATIENCE * 5, "the uploads", run).await.unwrap();
    let lines = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{lines}{}", String::from_utf8_lossy(&run.stderr));

    let mut ends = BTreeMap::<String, usize>::new();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let ended = case["ended"].as_str().unwrap();
        *ends.entry(ended.to_owned()).or_default() += 1;
        if ended != "completed" {
            continue;
        }
        let id = case["fileId"].as_str().unwrap_or_else(|| panic!("no X-File-Id: {line}"));
        let file: Value = app.get(&format!("/files/{id}")).await.ok().json();
        let told = json!([file["status"], file["size"], file["sha256"], file["origin"]]);
        assert_eq!(told, json!(["completed", case["size"], case["sha256"], "uploaded"]), "{line}");
        let content = app.get(&format!("/files/{id}/content")).await.ok();
        assert_eq!(
            format!("{:x}", Sha256::digest(&content.body)),
            case["sha256"].as_str().unwrap(),
            "{line}"
        );
        if case["name"].as_str().unwrap().ends_with("with metadata") {
            let told = json!([file["file_name"], file["title"], file["folder"], file["tags"]]);
            assert_eq!(told, json!(["Größe & Co – 見積書 😀.txt", "An offer", "offers", ["new"]]), "{line}");
        }
    }
    assert!(ends.get("completed").is_some_and(|count| *count >= 20), "{ends:?}");
    assert_eq!(ends.get("terminated"), Some(&2), "{ends:?}");
    rows_and_objects_agree(&app).await;
    app.stop().await;
}
