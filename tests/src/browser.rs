//! A real browser, and pages for it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The page as the browser shows it once its scripts have nothing more to do; `None`, with a loud line, where there is no browser and it
/// may be missing.
pub fn open(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().expect("a temporary directory");
    // One process user in a container cannot make namespaces: no sandbox, and only pages of our own.
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--dump-dom",
            "--virtual-time-budget=20000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).expect("a page in UTF-8")),
        Err(error) => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "chromium cannot be started ({error}), and with CI=true nothing may be skipped"
            );
            eprintln!("SKIPPED in a browser: chromium is not installed");
            None
        }
    }
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
