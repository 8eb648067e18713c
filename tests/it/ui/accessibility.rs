//! Every page, state, colour scheme and width by the rules of axe-core: WCAG 2.2 AA and best practice.

use std::process::Command;

use serde_json::Value;

use super::browser::{Browser, wait_for_text};
use crate::support::{TestApp, not_run};

/// Inserts a file of each status and a dead letter of each state. The times keep the files from being republished.
const FULL: &str = "
    WITH made AS (
        INSERT INTO files (title, description, status, s3_location, size, sha256, error, deadline_at, updated_at, erased_at)
        SELECT 'A file that is ' || s, repeat('What it says. ', 40), s, CASE s WHEN 'completed' THEN 's3://b/files/1_a.txt' END,
            CASE s WHEN 'completed' THEN 1234567 END, CASE s WHEN 'completed' THEN repeat('0a', 32) END,
            CASE WHEN s IN ('failed', 'pending') THEN 'the text can''t be made' END, now() + interval '1 day',
            now() + interval '1 hour', CASE s WHEN 'deleted' THEN now() END
        FROM unnest(ARRAY['pending', 'processing', 'completed', 'failed', 'cancelled', 'deleted']) AS s
        RETURNING id, status, error
    ), lines AS (
        INSERT INTO transitions (file_id, at, to_status, attempt, worker, kafka_partition, kafka_offset, duration_ms, error)
        SELECT id, now(), status, 1, 'file-service-1@host:1', 0, 7, 1234, error FROM made
    ), letters AS (
        INSERT INTO dead_letters (letter_id, kafka_partition, kafka_offset, original_topic, original_partition, original_offset,
            value, headers, file_id, attempt, error, state, received_at, settled_at)
        SELECT gen_random_uuid(), 0, n, 'file.create', 1, n, convert_to('{\"title\": 7}', 'UTF8'), '{}', 1, 1,
            'the value is not a file.create message', s, now(), CASE s WHEN 'open' THEN NULL ELSE now() END
        FROM unnest(ARRAY['open', 'replayed', 'discarded']) WITH ORDINALITY AS l (s, n)
    )
    SELECT max(id) FROM made";

/// Script that opens everything that can be opened, runs axe-core, and returns each violation as one line.
fn check(rules: &str) -> String {
    format!(
        "const done = arguments[arguments.length - 1];
         document.querySelectorAll('details').forEach(part => part.open = true);
         axe.run(document, {{runOnly: {rules}, resultTypes: ['violations']}}).then(
             found => done(found.violations.flatMap(broken => broken.nodes.map(
                 node => broken.id + ': ' + node.html + ' ' + node.failureSummary))),
             error => done(['axe-core: ' + error]));"
    )
}

const ALL_RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";
/// Rules that depend on colours.
const COLOUR_RULES: &str = "{type: 'rule', values: ['color-contrast', 'link-in-text-block']}";

/// Reads axe-core. Returns `None`, and says so on stderr, where it isn't installed.
fn axe() -> Option<String> {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/interop");
    let path = Command::new(script).args(["path", "axe-core/axe.min.js"]).output().unwrap();
    if !path.status.success() {
        not_run(String::from_utf8_lossy(&path.stderr).trim());
        return None;
    }
    Some(std::fs::read_to_string(String::from_utf8(path.stdout).unwrap().trim()).unwrap())
}

/// Checks the page that the browser shows, in each colour scheme and width.
async fn violations(browser: &Browser, axe: &str, page: &str, found: &mut Vec<String>) {
    browser.run(axe).await;
    for (scheme, width, rules) in [
        ("light", 1200, ALL_RULES),
        ("light", 390, ALL_RULES),
        ("dark", 390, COLOUR_RULES),
        ("dark", 1200, COLOUR_RULES),
    ] {
        browser.look_with(scheme, width).await;
        let Value::Array(broken) = browser.run_async(&check(rules)).await else { panic!("no answer") };
        found.extend(broken.iter().map(|line| format!("{page}, {scheme}, {width} px: {line}")));
    }
}

#[tokio::test]
async fn no_page_breaks_a_rule_of_accessibility() {
    let Some(axe) = axe() else { return };
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let mut found = Vec::new();
    violations(&browser, &axe, "the empty list", &mut found).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.svg");
    std::fs::write(&path, "<svg xmlns='http://www.w3.org/2000/svg'/>").unwrap();
    browser.type_into("#upload-tags", "one, two").await;
    browser.choose("#upload-files", &[path.as_path()]).await;
    wait_for_text(&browser, ".upload.completed .about", "stored").await;
    browser.run("document.getElementById('upload-tags').value = 'long'.repeat(100)").await;
    let other = dir.path().join("other.svg");
    std::fs::write(&other, "refused").unwrap();
    browser.choose("#upload-files", &[other.as_path()]).await;
    wait_for_text(&browser, ".upload.failed .about", ".").await;
    violations(&browser, &axe, "uploads", &mut found).await;
    browser.run("document.getElementById('upload').submit()").await;
    browser.find("#upload-summary").await;
    violations(&browser, &axe, "the upload form with an error", &mut found).await;
    browser.goto(&format!("{}/ui/dead-letters", app.base)).await;
    violations(&browser, &axe, "no dead letters", &mut found).await;

    let last: i64 = app.ground.database.one(FULL).await;
    let files = (last - 5..=last).map(|id| format!("/ui/files/{id}"));
    let pages = [
        "/?limit=2&created=1",
        "/?status=failed",
        "/?status=deleted&deleted=1",
        "/?q=nothing",
        "/?refresh=on",
        "/?limit=0",
        "/ui/files/999999",
        "/ui/files/1?refresh=on",
        "/ui/dead-letters?replayed=1",
        "/ui/dead-letters?state=all&limit=2",
        "/ui/dead-letters?file_id=7",
        "/nothing",
    ];
    for page in pages.map(str::to_owned).into_iter().chain(files) {
        browser.goto(&format!("{}{page}", app.base)).await;
        violations(&browser, &axe, &page, &mut found).await;
    }
    browser.look_with("light", 1200).await;
    browser.goto(&app.base).await;
    browser.type_into("#title", "\u{3164}").await;
    browser.click("form[data-once] button[type=submit]").await;
    browser.find("#summary").await;
    violations(&browser, &axe, "the form with an error", &mut found).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
    browser.quit().await;
    app.stop().await;
}
