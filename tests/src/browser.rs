//! A real browser, and pages for it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chromiumoxide::{
    cdp::browser_protocol::emulation::{MediaFeature, SetDeviceMetricsOverrideParams},
    handler::HandlerConfig,
    page::ScreenshotParams,
};
use futures::StreamExt;
use tempfile::TempDir;

// One process user in a container cannot make namespaces: no sandbox, and only pages of our own.
const FLAGS: [&str; 4] = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];

fn missing(error: &std::io::Error) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "chromium cannot be started ({error}), and with CI=true nothing may be skipped"
    );
    eprintln!("SKIPPED in a browser: chromium is not installed");
}

/// A site of static files on a port of its own.
pub struct Site {
    process: Child,
    directory: TempDir,
    port: u16,
}

impl Site {
    /// Serves what is written with [`Self::write`].
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a first line");
        let port =
            line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
        Self { process, directory, port: port.expect("Python tells its port") }
    }

    /// Where a file of it is.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(Path::new(name))
    }

    /// Puts a file there.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file can be written");
    }

    /// Its origin under a host name of this machine, `localhost` or `127.0.0.1`.
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A browser that is driven as a person would: it clicks, types and waits. Ends when dropped.
pub struct Browser {
    process: Child,
    browser: chromiumoxide::Browser,
    events: tokio::task::JoinHandle<()>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None`, with a loud line, where there is none and it may be missing.
    pub async fn start() -> Option<Self> {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let started = Command::new("chromium")
            .args(FLAGS)
            .args(["--remote-debugging-port=0", "--no-first-run", "--window-size=1100,900"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                missing(&error);
                return None;
            }
        };
        let lines = BufReader::new(process.stderr.take().expect("its output is piped")).lines();
        let (sender, address) = tokio::sync::oneshot::channel();
        // Reads on for the browser's whole life, so that its output never blocks it.
        std::thread::spawn(move || {
            let mut sender = Some(sender);
            for line in lines.map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("DevTools listening on ")
                    && let Some(sender) = sender.take()
                {
                    let _ = sender.send(address.to_owned());
                }
            }
        });
        let address =
            tokio::time::timeout(Duration::from_secs(60), address).await.expect("Chromium starts in a minute");
        let config = HandlerConfig { viewport: None, ..HandlerConfig::default() };
        let connected =
            chromiumoxide::Browser::connect_with_config(address.expect("Chromium tells its address"), config);
        let (browser, mut handler) = connected.await.expect("Chromium can be driven");
        let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
        Some(Self { process, browser, events, _profile: profile })
    }

    /// Opens an address in a new tab.
    pub async fn open(&self, url: &str) -> Tab {
        Tab(self.browser.new_page(url).await.expect("a tab opens"))
    }

    /// Every cookie it has.
    pub async fn cookies(&self) -> Vec<chromiumoxide::cdp::browser_protocol::network::Cookie> {
        self.browser.get_cookies().await.expect("cookies")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.events.abort();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A tab of a [`Browser`].
pub struct Tab(chromiumoxide::Page);

impl Tab {
    /// Goes to an address.
    pub async fn go(&self, url: &str) {
        self.0.goto(url).await.expect("the address opens");
    }

    /// Where it is.
    pub async fn url(&self) -> String {
        self.0.url().await.ok().flatten().unwrap_or_default()
    }

    /// What a script gives there.
    pub async fn run(&self, script: &str) -> Option<serde_json::Value> {
        self.0.evaluate(script).await.ok()?.value().cloned()
    }

    /// What a reader sees.
    pub async fn text(&self) -> String {
        self.run("document.body.innerText").await.and_then(|text| Some(text.as_str()?.to_owned())).unwrap_or_default()
    }

    /// Waits until a reader sees something.
    pub async fn sees(&self, text: &str) {
        let started = Instant::now();
        loop {
            let seen = self.text().await;
            if seen.contains(text) {
                return;
            }
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(60), "{text:?} does not come; {} shows:\n{seen}", self.url().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes into the field of this label.
    pub async fn write(&self, label: &str, text: &str) {
        let field = self.find(&format!("//input[@id=//label[normalize-space()='{label}']/@for]")).await;
        field.click().await.expect("the field can be clicked");
        field.type_str(text).await.expect("the field takes text");
    }

    /// Clicks the button with this text.
    pub async fn press(&self, button: &str) {
        let button = self.find(&format!("//button[normalize-space()='{button}']")).await;
        button.click().await.expect("the button can be clicked");
    }

    /// Clicks the first link with this text in it.
    pub async fn follow(&self, link: &str) {
        let link = self.find(&format!("//main//a[contains(normalize-space(), '{link}')]")).await;
        link.click().await.expect("the link can be clicked");
    }

    /// Whether there is a button with this text.
    pub async fn has_button(&self, button: &str) -> bool {
        !self.0.find_xpaths(format!("//button[normalize-space()='{button}']")).await.unwrap_or_default().is_empty()
    }

    /// Keeps a picture of it in the folder that `TRIBUTARY_SCREENSHOTS` names, if any, in a wide and a narrow window, light and dark.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("TRIBUTARY_SCREENSHOTS") else { return };
        for (window, width, scheme) in [("wide", 1100, "light"), ("wide", 1100, "dark"), ("narrow", 390, "light")] {
            let size = SetDeviceMetricsOverrideParams::new(width, 900, 1.0, width < 500);
            self.0.execute(size).await.expect("the window takes a size");
            let scheme_of = MediaFeature::new("prefers-color-scheme", scheme);
            self.0.emulate_media_features(vec![scheme_of]).await.expect("the window takes a scheme");
            let path = Path::new(&folder).join(format!("{name}-{window}-{scheme}.png"));
            self.0.save_screenshot(ScreenshotParams::builder().build(), path).await.expect("a picture");
        }
        let size = SetDeviceMetricsOverrideParams::new(1100, 900, 1.0, false);
        self.0.execute(size).await.expect("the window takes a size");
    }

    async fn find(&self, xpath: &str) -> chromiumoxide::Element {
        let started = Instant::now();
        loop {
            if let Ok(element) = self.0.find_xpath(xpath).await {
                return element;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no {xpath} in:\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
