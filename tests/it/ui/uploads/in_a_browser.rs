//! Uploads with the page's script in a real browser.

use std::path::PathBuf;

use filesys::domain::{FileId, Status};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::content;
use crate::support::{TestApp, eventually, holds};
use crate::ui::browser::{Browser, wait_for_status, wait_for_text};

/// Bytes per second at which a file of 12 MiB takes long enough to be seen on its way.
const SLOW: i64 = 2 << 20;
/// No limit.
const FAST: i64 = -1;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Waits until the bar of the only upload has come to this share of its end.
async fn wait_for_bar(browser: &Browser, share: f64) {
    eventually("the bar moves", async || {
        let bar = browser.run("return document.querySelector('.upload progress')?.value").await;
        holds(bar.as_f64() > Some(share), bar)
    })
    .await;
}

#[tokio::test]
async fn a_person_sees_the_bar_pauses_resumes_and_finds_the_file_stored() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(12 << 20);
    let path = write(&dir, "film é.bin", &bytes);
    browser.upload_at(SLOW).await;
    browser.choose("#upload-files", &[path.as_path()]).await;
    wait_for_bar(&browser, 0.0).await;
    assert_eq!(
        browser.attribute(".upload progress", "aria-label").await.as_deref(),
        Some("Upload of film é.bin")
    );
    browser.click(".upload [data-toggle]").await;
    wait_for_text(&browser, ".upload .about", "Paused at").await;
    wait_for_status(&browser, 1, "Uploading").await;
    assert_eq!(browser.text(".upload [data-toggle]").await, "Resume");
    assert_eq!(app.file(FileId(1)).await.status, Status::Uploading);
    browser.upload_at(FAST).await;
    browser.click(".upload [data-toggle]").await;
    wait_for_text(&browser, ".upload .about", "12.6 MB, stored").await;
    wait_for_status(&browser, 1, "Completed").await;

    let digest = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(app.file(FileId(1)).await.sha256, Some(digest));
    assert!(app.content(FileId(1)).await.ok().body == bytes, "the content is what was chosen");
    browser.click(".upload .name a").await;
    assert_eq!(browser.text("h1").await, "film é.bin");
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_reload_when_the_file_is_chosen_again() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(12 << 20);
    let path = write(&dir, "film.bin", &bytes);
    browser.upload_at(SLOW).await;
    browser.choose("#upload-files", &[path.as_path()]).await;
    wait_for_bar(&browser, 0.3).await;
    browser.reload().await;
    wait_for_text(&browser, ".upload .about", "are stored. Choose the same file to go on.").await;
    wait_for_bar(&browser, 0.0).await;

    browser.upload_at(FAST).await;
    browser.choose("#upload-files", &[path.as_path()]).await;
    wait_for_text(&browser, ".upload .about", "12.6 MB, stored").await;
    assert_eq!(browser.run("return document.querySelectorAll('.upload').length").await, 1);
    assert_eq!(app.stats().await.total, 1);
    assert!(app.content(FileId(1)).await.ok().body == bytes, "the content is what was chosen");

    browser.reload().await;
    browser.find("#upload[data-ready]").await;
    assert!(!browser.has(".upload").await, "nothing is left to go on with");
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_refused_or_cancelled_says_so_and_what_is_dropped_is_uploaded() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (large, fits) =
        (write(&dir, "large.bin", &content(13_000_001)), write(&dir, "fits.bin", &content(12 << 20)));
    browser.run("document.getElementById('upload').dataset.maxBytes = '13000000'").await;
    browser.choose("#upload-files", &[large.as_path()]).await;
    wait_for_text(&browser, ".upload.failed .about", "at most 13.0 MB are taken").await;
    browser.click(".upload [data-cancel]").await;
    assert_eq!(browser.run("return document.activeElement.id").await, "upload-files");

    // What the server refuses can be mended and tried again.
    browser.click("#upload summary").await;
    browser.type_into("#upload-tags", &"long".repeat(100)).await;
    browser.choose("#upload-files", &[fits.as_path()]).await;
    wait_for_text(&browser, ".upload.failed .about", "ag").await;
    assert_eq!(app.stats().await.total, 0);
    browser.run("document.getElementById('upload-tags').value = 'mended'").await;
    browser.upload_at(SLOW).await;
    browser.click(".upload [data-toggle]").await;
    wait_for_bar(&browser, 0.0).await;
    browser.click(".upload [data-cancel]").await;
    wait_for_status(&browser, 1, "Cancelled").await;
    eventually("the line of the cancelled upload is gone", async || {
        let lines = browser.run("return document.querySelectorAll('.upload').length").await;
        holds(lines == 0, lines)
    })
    .await;
    browser.upload_at(FAST).await;

    let drop = "const dropped = new DataTransfer();
        dropped.items.add(new File(['by hand'], 'dropped.txt', { type: 'text/plain' }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true, cancelable: true }));";
    browser.run(drop).await;
    wait_for_status(&browser, 2, "Completed").await;
    assert_eq!(app.content(FileId(2)).await.ok().body, "by hand");
    assert_eq!(app.file(FileId(2)).await.attributes.tags, ["mended"]);
    browser.quit().await;
    app.stop().await;
}
