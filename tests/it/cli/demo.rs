//! `filesys demo`: what it shows of its three files.

use super::{code, filesys, stderr, stdout};
use crate::support::TestApp;

#[tokio::test]
async fn the_demo_shows_what_is_stored_of_each_file_its_history_and_the_counts() {
    let app = TestApp::start().await;
    let output = filesys(&["demo"], &[("FILESYS_URL", &app.base)]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    let files: Vec<serde_json::Value> = app.get("/files").await.ok().json();
    assert_eq!(files.len(), 3);
    for file in &files {
        let shown = |member: &str| file[member].as_str().unwrap_or_else(|| panic!("{member}: {file}"));
        for member in ["file_name", "s3_location", "sha256", "content_type"] {
            assert!(text.contains(shown(member)), "{member} of {file} is missing in {text}");
        }
        assert!(text.contains(&format!("id          {}\n", file["id"])), "{text}");
        assert!(text.contains(&format!("size        {} bytes\n", file["size"])), "{text}");
        let content = app.get(&format!("/files/{}/content", file["id"])).await.ok();
        assert_eq!(content.body.len() as u64, file["size"].as_u64().unwrap());
    }
    assert_eq!(text.matches("Z uploading\n").count(), 3, "{text}");
    assert_eq!(text.matches("Z completed\n").count(), 3, "{text}");
    let counts = text.split_once("files on the server").unwrap().1;
    let completed = counts.lines().find(|line| line.trim().starts_with("completed")).unwrap();
    assert_eq!(completed.split_whitespace().last(), Some("3"), "{text}");
    app.stop().await;
}

#[test]
fn without_a_server_the_demo_says_so() {
    let output = filesys(&["demo", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("http://127.0.0.1:1 can't be reached"), "{}", stderr(&output));
}
