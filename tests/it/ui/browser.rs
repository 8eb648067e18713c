//! A headless Chromium behind its driver: started on a free port, ended with the test.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{PATIENCE, eventually, holds, not_run, within};

/// Shell script that runs the driver, whose children stay in its process group, and kills them all when the test's end of the
/// pipe is closed, which it is however the test ends.
const LEASH: &str = r#""$@" & exec >&-; read -r _; kill -9 -$$"#;

/// Driver and browser. Dropping this kills both; `quit` ends them in order.
pub struct Browser {
    session: WebDriver,
    port: u16,
    _driver: Child,
    dir: TempDir,
}

impl Browser {
    /// Opens this page. Returns `None`, and says so on stderr, where no browser is installed.
    pub async fn open(url: &str) -> Option<Self> {
        let (Some(driver), Some(chromium)) =
            (program(&["chromedriver"]), program(&["chromium", "chromium-browser", "google-chrome"]))
        else {
            not_run("chromedriver and chromium are not on the PATH");
            return None;
        };
        let mut driver = Command::new("/bin/sh")
            .args(["-c", LEASH, "leash"])
            .arg(driver)
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = within(PATIENCE, "chromedriver's port", port_of(&mut driver)).await;
        let dir = tempfile::tempdir().unwrap();
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(chromium.to_str().unwrap()).unwrap();
        let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
        for argument in [
            "--headless=new",
            // Its sandbox needs rights that containers and root don't have; it sees our own pages only.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP files.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--window-size=1200,1600",
            &profile,
        ] {
            capabilities.add_arg(argument).unwrap();
        }
        let downloads = dir.path().join("downloads");
        std::fs::create_dir(&downloads).unwrap();
        let settings =
            json!({"download.default_directory": downloads, "download.prompt_for_download": false});
        capabilities.add_experimental_option("prefs", settings).unwrap();
        let session = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities);
        let session = within(PATIENCE, "starting the browser", session).await.unwrap();
        let browser = Self { session, port, _driver: driver, dir };
        browser.goto(url).await;
        Some(browser)
    }

    pub async fn goto(&self, url: &str) {
        self.session.goto(url).await.unwrap();
    }

    /// Opens a second tab and goes on in it.
    pub async fn open_tab(&self, url: &str) {
        let tab = self.session.new_tab().await.unwrap();
        self.session.switch_to_window(tab).await.unwrap();
        self.goto(url).await;
    }

    pub async fn back(&self) {
        self.session.back().await.unwrap();
    }

    pub async fn forget_cookies(&self) {
        self.session.delete_all_cookies().await.unwrap();
    }

    pub async fn back_to_first_tab(&self) {
        let tabs = self.session.windows().await.unwrap();
        self.session.switch_to_window(tabs[0].clone()).await.unwrap();
    }

    pub async fn reload(&self) {
        self.session.refresh().await.unwrap();
    }

    pub async fn address(&self) -> String {
        self.session.current_url().await.unwrap().to_string()
    }

    /// Tells whether there is such an element.
    pub async fn has(&self, css: &str) -> bool {
        self.session.find(By::Css(css)).await.is_ok()
    }

    pub async fn find(&self, css: &str) -> WebElement {
        eventually(&format!("{css} is there"), async || {
            self.session.find(By::Css(css)).await.map_err(|error| error.to_string())
        })
        .await
    }

    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.unwrap()
    }

    /// Returns the current text of a field.
    pub async fn value(&self, css: &str) -> String {
        self.find(css).await.prop("value").await.unwrap().unwrap_or_default()
    }

    pub async fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.find(css).await.attr(name).await.unwrap()
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    pub async fn type_into(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.unwrap();
    }

    /// Chooses these files in an input.
    pub async fn choose(&self, css: &str, files: &[&Path]) {
        let paths: Vec<_> = files.iter().map(|path| path.to_str().unwrap()).collect();
        self.type_into(css, &paths.join("\n")).await;
    }

    /// Lets the page send so many bytes per second from now on; -1 is no limit.
    pub async fn upload_at(&self, bytes_per_second: i64) {
        self.command("Network.enable", json!({})).await;
        let conditions = json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second});
        self.command("Network.emulateNetworkConditions", conditions).await;
    }

    /// Runs a script in the page and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.session.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Runs a script in the page and returns what it passes to its callback.
    pub async fn run_async(&self, script: &str) -> Value {
        self.session.execute_async(script, Vec::new()).await.unwrap().json().clone()
    }

    /// Shows pages in this colour scheme, on a screen of this width.
    pub async fn look_with(&self, scheme: &str, width: u32) {
        let scheme = json!({"name": "prefers-color-scheme", "value": scheme});
        // Nothing is still on its way from one colour to the other.
        let motion = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        self.command("Emulation.setEmulatedMedia", json!({"features": [scheme, motion]})).await;
        let screen = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Sends a command of Chromium's own protocol.
    async fn command(&self, name: &str, parameters: Value) {
        let session = self.session.session_id();
        let url = format!("http://127.0.0.1:{}/session/{session}/goog/cdp/execute", self.port);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(url).json(&json!({"cmd": name, "params": parameters}));
        let answer = within(PATIENCE, name, request.send()).await.unwrap();
        assert!(answer.status().is_success(), "{name}: {:?}", answer.text().await);
    }

    /// Returns name and bytes of the only file that was downloaded.
    pub async fn download(&self) -> (String, Vec<u8>) {
        let downloads = self.dir.path().join("downloads");
        eventually("a download is finished", async || {
            let files: Vec<_> = std::fs::read_dir(&downloads)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    (name, std::fs::read(&path).unwrap_or_default())
                })
                .collect();
            // A hidden file comes first, then an empty one that reserves the name, and others with the bytes.
            match files.as_slice() {
                [(name, bytes)]
                    if !name.starts_with('.') && !name.ends_with(".crdownload") && !bytes.is_empty() =>
                {
                    Ok((name.clone(), bytes.clone()))
                }
                _ => Err(format!("{files:?}")),
            }
        })
        .await
    }

    pub async fn quit(self) {
        within(PATIENCE, "ending the browser", self.session.clone().quit()).await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its end is not asked for, since the driver is killed at once.
        let _ = self.session.clone().leak();
    }
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

async fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("chromedriver ended");
}

/// Waits until the element has the text.
pub async fn wait_for_text(browser: &Browser, css: &str, text: &str) {
    eventually(&format!("{css} says {text}"), async || {
        let seen = browser.run(&format!("return document.querySelector('{css}')?.textContent")).await;
        holds(seen.as_str().is_some_and(|seen| seen.contains(text)), seen)
    })
    .await;
}

/// Waits until the page shows the status of the file.
pub async fn wait_for_status(browser: &Browser, id: i64, status: &str) {
    let script = format!("return document.getElementById('file-{id}')?.dataset.status");
    eventually(&format!("file {id} is shown as {status}"), async || {
        let seen = browser.run(&script).await;
        holds(seen == status, seen)
    })
    .await;
}
