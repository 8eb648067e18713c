//! A real browser that comes from pages of other sites, by other host names, and through a proxy.

use filesys::domain::Status;

use super::browser::{Browser, wait_for_status, wait_for_text};
use crate::support::nginx::Nginx;
use crate::support::{Ports, TestApp};

/// Makes a page of another site.
fn page(html: &str) -> String {
    format!("data:text/html,{html}")
}

#[tokio::test]
async fn a_form_outlives_a_page_that_a_link_on_another_site_opens() {
    let app = TestApp::start().await;
    let Some(browser) = Browser::open(&app.base).await else { return };
    browser.type_into("#title", "half filled").await;
    browser.open_tab(&page(&format!("<a id=go href='{}/'>go</a>", app.base))).await;
    browser.click("#go").await;
    browser.find("#title").await;
    browser.back_to_first_tab().await;
    browser.click("form[data-once] button[type=submit]").await;
    wait_for_text(&browser, ".notice", "on its way").await;

    // Not even the loss of all cookies matters.
    browser.type_into("#title", "without cookies").await;
    browser.forget_cookies().await;
    browser.click("form[data-once] button[type=submit]").await;
    wait_for_text(&browser, ".notice", "File #2 is on its way").await;

    // Back to the form, which still has the text, and sent again.
    browser.back().await;
    browser.click("form[data-once] button[type=submit]").await;
    wait_for_text(&browser, ".notice", "File #2 is on its way").await;
    assert_eq!(app.stats().await.total, 2);
    browser.quit().await;
    app.stop().await;
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    let app = TestApp::start_with(&[("PROCESSING_DELAY_MS", "600000"), ("SHUTDOWN_TIMEOUT", "1")]).await;
    let file = app.post_file("kept").await;
    let cancel = format!("{}/files/{}/cancel", app.base, file.id);
    let evil = page(&format!("<form method=post action='{cancel}'><button id=go>go</button></form>"));
    let Some(browser) = Browser::open(&evil).await else { return };
    for request in [
        format!("fetch('{cancel}', {{method: 'POST', mode: 'no-cors'}})"),
        format!("fetch('{cancel}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})"),
        format!("fetch('{}/files/{}', {{method: 'DELETE'}})", app.base, file.id),
        format!("Promise.resolve(navigator.sendBeacon('{cancel}', ''))"),
    ] {
        browser.run(&format!("return await {request}.then(() => 'sent', () => 'refused')")).await;
    }
    browser.click("#go").await;
    wait_for_text(&browser, "body", "A page of another site sent this").await;
    let form = page(&format!(
        "<form method=post action='{}/ui/files'><input name=title value=forged><button id=go>go</button></form>",
        app.base
    ));
    browser.goto(&form).await;
    browser.click("#go").await;
    wait_for_text(&browser, "#summary", "another site").await;
    assert_eq!(browser.value("#title").await, "forged");
    assert_ne!(app.file(file.id).await.status, Status::Cancelled);
    assert_eq!(app.stats().await.total, 1);
    browser.quit().await;
    app.stop_within(std::time::Duration::from_secs(20)).await;
}

#[tokio::test]
async fn behind_a_proxy_below_a_sub_path_a_person_gets_everything_done() {
    let ports = Ports::reserve();
    // On plain HTTP by such a name the browser sends no Sec-Fetch-Site.
    let base = format!("http://files.example:{}/team", ports.first);
    let app = TestApp::start_at(&[("BASE_URL", &base), ("PROCESSING_DELAY_MS", "3000")]).await;
    let locations = format!("location /team/ {{ proxy_pass {}/; }}", app.base);
    let Some(nginx) = Nginx::start(ports.first, None, &locations).await else { return };
    let Some(browser) = Browser::open(&format!("{base}/")).await else { return };
    browser.type_into("#title", "By proxy").await;
    browser.click("form[data-once] button[type=submit]").await;
    wait_for_text(&browser, ".notice", "File #1 is on its way").await;
    assert_eq!(browser.address().await, format!("{base}/?created=1"));
    browser.run("window.mark = 'the same page'").await;
    wait_for_status(&browser, 1, "Completed").await;
    assert_eq!(browser.run("return window.mark").await, "the same page");
    let color = "return getComputedStyle(document.querySelector('.create')).borderTopLeftRadius";
    assert_ne!(browser.run(color).await, "0px", "the style is there");
    browser.click("#get-1").await;
    assert_eq!(browser.download().await.0, "By proxy.txt");
    browser.click("#open-1").await;
    assert_eq!(browser.text("h1").await, "By proxy");
    browser.click("#delete").await;
    browser.click("#delete-for-good").await;
    wait_for_text(&browser, ".notice", "File #1 was deleted").await;
    assert_eq!(browser.address().await, format!("{base}/?deleted=1"));
    browser.click("nav.pages a").await;
    assert_eq!(browser.address().await, format!("{base}/ui/dead-letters"));
    browser.quit().await;
    nginx.stop().await;
    app.stop().await;
}
