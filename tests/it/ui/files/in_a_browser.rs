//! The pages of files in a real browser, with its script.

use serde_json::json;

use crate::support::{Ports, TestApp, eventually, holds};
use crate::ui::browser::{Browser, wait_for_status, wait_for_text};

/// Counts what the page polls, and keeps the timers that are set from now on.
const WATCH: &str = r"
    const [fetch, set, clear] = [window.fetch, window.setTimeout, window.clearTimeout];
    window.polls = 0;
    window.timers = new Set();
    window.fetch = (...all) => { window.polls += 1; return fetch(...all); };
    window.setTimeout = (work, ...rest) => {
        const timer = set(() => { window.timers.delete(timer); work(); }, ...rest);
        window.timers.add(timer);
        return timer;
    };
    window.clearTimeout = (timer) => { window.timers.delete(timer); clear(timer); };";

#[tokio::test]
async fn a_person_asks_for_a_file_sees_it_completed_without_a_reload_and_downloads_it() {
    // A slow browser must still see it unfinished.
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "5000")]).await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    browser.type_into("#title", "Report é").await;
    browser.type_into("#description", "first line\nsecond line").await;
    browser.click("form[data-once] button[type=submit]").await;

    wait_for_text(&browser, ".notice", "File #1 is on its way").await;
    assert_eq!(browser.address().await, format!("{}/?created=1", app.base));
    let shown = browser.attribute("#file-1", "data-status").await.unwrap();
    assert!(["Pending", "Processing"].contains(&shown.as_str()), "{shown}");
    assert!(!browser.has("#get-1").await);
    browser.run("window.mark = 'the same page'").await;

    wait_for_status(&browser, 1, "Completed").await;
    assert_eq!(browser.run("return window.mark").await, "the same page");
    wait_for_text(&browser, "#announcements", "Report é: Completed").await;

    let file = app.page("/files").await.0.remove(0);
    assert_eq!(file.description.as_deref(), Some("first line\nsecond line"));
    let content = app.content(file.id).await.ok().body;
    let link = browser.attribute("#get-1", "href").await.unwrap();
    assert_eq!(app.get(&link).await.ok().body, content);
    browser.click("#get-1").await;
    let (name, bytes) = browser.download().await;
    assert_eq!(name, "Report é.txt");
    assert_eq!(bytes, content);

    browser.click("#open-1").await;
    assert_eq!(browser.text("h1").await, "Report é");
    assert!(browser.text(".timeline").await.contains("file-service-"));
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn the_page_of_one_file_follows_it_to_the_end() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "1500")]).await;
    let file = app.post_file("followed").await;
    let page = format!("{}/ui/files/{}", app.base, file.id);
    let Some(browser) = Browser::open(&page).await else { return };
    browser.run("window.mark = 'the same page'").await;
    wait_for_status(&browser, file.id.0, "Completed").await;
    assert_eq!(browser.run("return window.mark").await, "the same page");
    assert!(browser.has("#get-1").await);
    assert_eq!(browser.run("return document.querySelectorAll('.timeline > li').length").await, 3);
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn auto_refresh_can_be_switched_off_and_on_and_the_choice_is_kept() {
    let app = TestApp::start().await;
    app.completed_file("before").await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    browser.run(WATCH).await;
    eventually("the page polls", async || {
        let polls = browser.run("return window.polls").await;
        holds(polls.as_i64() >= Some(1), polls)
    })
    .await;

    browser.click("#auto-refresh").await;
    wait_for_text(&browser, "#refresh-note", "Paused").await;
    // A poll that was under way may still end; after it nothing is left that could begin another one.
    eventually("nothing is scheduled", async || {
        let timers = browser.run("return window.timers.size").await;
        holds(timers == 0, timers)
    })
    .await;
    let polls = browser.run("return window.polls").await;
    app.completed_file("meanwhile").await;
    assert!(!browser.has("#file-2").await);
    assert_eq!(browser.run("return [window.timers.size, window.polls]").await, json!([0, polls]));

    browser.click("#auto-refresh").await;
    wait_for_status(&browser, 2, "Completed").await;
    assert_eq!(browser.text("#refresh-note").await, "");

    browser.click("#auto-refresh").await;
    browser.reload().await;
    wait_for_text(&browser, "#refresh-note", "Paused").await;
    assert_eq!(browser.run("return document.getElementById('auto-refresh').checked").await, false);
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn a_form_that_is_refused_says_why_and_keeps_what_was_typed() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let long = "a".repeat(256);
    let description = "kept </textarea> \"as it is\" & more";
    browser.type_into("#title", &long).await;
    browser.type_into("#description", description).await;
    browser.click("form[data-once] button[type=submit]").await;

    wait_for_text(&browser, "#summary", "The file was not created").await;
    wait_for_text(&browser, "#title-error", "256 characters").await;
    assert_eq!(browser.attribute("#title", "aria-invalid").await.as_deref(), Some("true"));
    assert_eq!(browser.value("#title").await, long);
    assert_eq!(browser.value("#description").await, description);
    assert_eq!(browser.run("return document.activeElement.id").await, "summary");
    assert_eq!(app.stats().await.total, 0);

    browser.run("document.getElementById('title').value = 'shorter'").await;
    browser.click("form[data-once] button[type=submit]").await;
    wait_for_text(&browser, ".notice", "on its way").await;
    wait_for_status(&browser, 1, "Completed").await;
    assert_eq!(app.file(app.page("/files").await.0[0].id).await.description.as_deref(), Some(description));
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn the_page_says_when_the_server_is_away_and_when_it_is_back() {
    let ports = Ports::reserve();
    let port = ports.first.to_string();
    let app = TestApp::start_with(&[("PORT", &port)]).await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    let ground = app.stop().await;
    wait_for_text(&browser, "#announcements", "The server doesn't answer").await;
    wait_for_text(&browser, "#refresh-note", "No answer from the server").await;
    let app = ground.start(&[("PORT", &port)]).await;
    wait_for_text(&browser, "#announcements", "The server answers again").await;
    eventually("the note is gone", async || {
        let note = browser.run("return document.getElementById('refresh-note').textContent").await;
        holds(note == "", note)
    })
    .await;
    browser.quit().await;
    app.stop().await;
}
