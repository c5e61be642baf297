//! Starts the binary on free ports with pipeline files of its own, and stops it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that must happen. Never waited for in a passing test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A pipeline of durability `memory` with one shard and no delivery, to be extended.
pub fn stream(name: &str, shards: u32) -> String {
    format!("[stream]\nname = \"{name}\"\nshards = {shards}\ndurability = \"memory\"\n")
}

/// The same with another durability.
pub fn durable_stream(name: &str, shards: u32, durability: &str) -> String {
    stream(name, shards).replace("\"memory\"", &format!("\"{durability}\""))
}

/// What a server is started with.
#[derive(Default)]
pub struct Setup {
    files: Vec<(String, String)>,
    node: String,
    server: String,
    env: Vec<(String, String)>,
    under: Vec<&'static str>,
    folder: Option<TempDir>,
}

impl Setup {
    /// With one pipeline file.
    pub fn pipeline(text: impl Into<String>) -> Self {
        Self::default().and_pipeline("pipeline", text)
    }

    /// And one more.
    pub fn and_pipeline(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((format!("pipelines/{name}.toml"), text.into()));
        self
    }

    /// A file beside the pipelines, such as a schema.
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((format!("pipelines/{name}"), text.into()));
        self
    }

    /// Top-level lines of `forebay.toml`.
    pub fn node(mut self, lines: &str) -> Self {
        self.node.push_str(lines);
        self.node.push('\n');
        self
    }

    /// Lines of `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        self.server.push_str(lines);
        self.server.push('\n');
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// By a program that is called with `words` and the binary.
    pub fn under(mut self, words: &[&'static str]) -> Self {
        self.under = words.to_vec();
        self
    }

    /// In the working folder of a binary that has ended.
    pub fn in_folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Starts the binary and waits until it says where it listens.
    pub fn start(self) -> Server {
        let has_others = self.node.contains("[[listener]]");
        let (mut child, folder) = self.spawn();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        let mut banner = String::new();
        stdout.read_line(&mut banner).unwrap();
        let addresses = banner_addresses(&banner);
        let Some((address, admin)) = addresses else {
            let _ = child.kill();
            panic!("the server did not start: {banner}\n{}", stderr.join().unwrap());
        };
        let mut others = String::new();
        if has_others {
            stdout.read_line(&mut others).unwrap();
        }
        let others = others.trim().trim_start_matches("and on ").split(", ").map(str::to_owned).collect();
        Server { child, stdout: Some(stdout), stderr: Some(stderr), address, others, admin, folder }
    }

    /// Starts the binary, which must end with exit code 1; returns what it had to say.
    pub fn start_that_fails(self) -> String {
        let (child, _folder) = self.spawn();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        stderr
    }

    fn spawn(self) -> (Child, TempDir) {
        // The client side of reqwest is built without a TLS provider of its own.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = self.folder.unwrap_or_else(|| tempfile::tempdir().unwrap());
        std::fs::create_dir_all(folder.path().join("pipelines")).unwrap();
        for (name, text) in &self.files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let listen = if self.server.contains("listen = ") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        let node = format!("[server]\n{listen}admin = \"127.0.0.1:0\"\nthreads = 2\n{}", self.server);
        let node = match self.node.split_once("[[") {
            // Tables stand behind the lines of the top level.
            Some((lines, tables)) => format!("{lines}\n{node}\n[[{tables}"),
            None => format!("{}\n{node}", self.node),
        };
        std::fs::write(folder.path().join("forebay.toml"), node).unwrap();
        let mut words = self.under.iter().copied().chain([env!("CARGO_BIN_EXE_forebay")]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .arg("serve")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.env("FOREBAY_LOG", "info").envs(self.env);
        (command.spawn().unwrap(), folder)
    }
}

/// `forebay 0.1.0 listens on http://A, admin on http://B`
fn banner_addresses(banner: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (_, rest) = banner.split_once("listens on http://")?;
    let (address, rest) = rest.split_once(", admin on http://")?;
    Some((address.parse().ok()?, rest.trim().parse().ok()?))
}

fn drain(mut stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    })
}

/// A running binary. Killed when dropped.
pub struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
    /// Where the edge listens.
    pub address: SocketAddr,
    /// Where it listens besides, as URLs.
    pub others: Vec<String>,
    /// Where metrics and health are.
    pub admin: SocketAddr,
    folder: TempDir,
}

/// What a stopped binary leaves behind.
pub struct Stopped {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed behind the first line.
    pub stdout: String,
    /// Its log.
    pub stderr: String,
    /// Its working folder.
    pub folder: TempDir,
}

impl Server {
    /// `http://…/v1/streams/{stream}/records`.
    pub fn records(&self, stream: &str) -> String {
        format!("http://{}/v1/streams/{stream}/records", self.address)
    }

    /// Posts a body and reads the answer as JSON.
    pub async fn post(
        &self,
        stream: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let request =
            reqwest::Client::new().post(self.records(stream)).header("content-type", content_type).body(body);
        answer(request).await
    }

    /// Posts NDJSON that must be accepted whole; returns the number of records.
    pub async fn accept(&self, stream: &str, lines: impl Into<reqwest::Body>) -> u64 {
        let (status, reply) = self.post(stream, "application/x-ndjson", lines).await;
        assert_eq!((status, &reply["rejected"]), (200, &0.into()), "{reply}");
        reply["accepted"].as_u64().unwrap()
    }

    /// Gets a path of the edge as JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(reqwest::Client::new().get(format!("http://{}{path}", self.address))).await
    }

    /// Gets a path of the admin port.
    pub async fn admin_get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The sum of a metric over all series whose labels contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = self.admin_get("/metrics").await;
        let series = text.lines().filter(|line| {
            let behind = line.strip_prefix(name).unwrap_or_default();
            behind.starts_with(['{', ' ']) && behind.contains(labels)
        });
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until a metric satisfies `wanted`.
    pub async fn until(&self, name: &str, labels: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let started = Instant::now();
        loop {
            let value = self.metric(name, labels).await;
            if wanted(value) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE, "{name}{{{labels}}} is {value} and stays so");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its working folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// SIGTERM, and everything that comes of it.
    pub fn stop(self) -> Stopped {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// SIGKILL: nothing is finished. Returns the working folder.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Stopped {
        let mut stdout = String::new();
        self.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Stopped { status, stdout, stderr, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stopped {
    /// A path below the working folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Everything that was accepted is settled, and the binary says so.
    pub fn assert_drained(&self) {
        assert_eq!(self.status.code(), Some(0), "{}\n{}", self.stdout, self.stderr);
        assert!(self.stdout.contains("drained:"), "{}", self.stdout);
        assert!(
            !self.stdout.lines().any(|line| line.contains(": accepted") && !line.ends_with("pending 0")),
            "{}",
            self.stdout
        );
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (
        status,
        serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into())),
    )
}
