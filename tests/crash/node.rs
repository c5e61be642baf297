//! A node's folder and the binary that runs on it, again and again, always at the same address.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use forebay::runtime::crash_point;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a wait looks.
pub const LOOK: Duration = Duration::from_millis(10);

/// So many lines of a node's log stand at the end of what a test prints that has failed.
const LAST_LINES: usize = 6;

/// Where the edge and the admin port of every node listen: below the ports that the kernel gives to outgoing
/// connections, which could take them while the server is away.
const PORTS: (u16, u16) = (18_080, 18_090);

/// A folder with pipelines, configuration and data.
pub struct Node {
    folder: Option<TempDir>,
    /// Set for each start.
    env: Vec<(String, String)>,
    address: String,
    running: Option<Running>,
    /// How it ended last.
    ended: Option<ExitStatus>,
}

struct Running {
    child: Child,
    /// Hears of the banner, and is closed at the end of the output.
    banner: Receiver<()>,
    has_listened: bool,
}

impl Node {
    /// A new folder. `node` are lines of `forebay.toml` in front of `[server]`, `files` lie in `pipelines/`.
    pub fn new(node: &str, files: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = own_address();
        fs::create_dir(folder.path().join("pipelines")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("pipelines").join(name), text).unwrap();
        }
        let (edge, admin) = PORTS;
        let text = format!(
            "{node}\n[server]\nlisten = \"{address}:{edge}\"\nadmin = \"{address}:{admin}\"\nthreads = 2\n\
             max_body = \"1MiB\"\ndrain_timeout = \"80s\"\n"
        );
        fs::write(folder.path().join("forebay.toml"), text).unwrap();
        Self { folder: Some(folder), env: Vec::new(), address, running: None, ended: None }
    }

    /// The working folder.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// `http://HOST:PORT` of the edge.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address, PORTS.0)
    }

    /// Sets an environment variable for all starts to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
    }

    /// Starts the binary without waiting for anything, with a crash point armed if there is one.
    pub fn launch(&mut self, crash_at: Option<&str>) {
        assert!(self.running.is_none(), "it runs already");
        let mut command = self.command(&["serve"]);
        if let Some(text) = crash_at {
            command.env(crash_point::VARIABLE, text);
        }
        command.stdout(Stdio::piped()).stderr(self.log_file());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (to_node, banner) = channel();
        let kept = self.log_path();
        std::thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if line.contains("listens on http://") {
                    let _ = to_node.send(());
                }
                append(&kept, &line);
                line.clear();
            }
        });
        self.running = Some(Running { child, banner, has_listened: false });
    }

    /// Starts the binary and waits until it listens.
    pub fn start(&mut self) {
        self.launch(None);
        if !self.listens() {
            let status = self.wait();
            panic!("the server did not start: {status}\n{}", self.log());
        }
    }

    /// Waits until it listens; false if it ends before.
    pub fn listens(&mut self) -> bool {
        let running = self.running.as_mut().unwrap();
        running.has_listened = running.has_listened
            || match running.banner.recv_timeout(PATIENCE) {
                Ok(()) => true,
                Err(RecvTimeoutError::Disconnected) => false,
                Err(RecvTimeoutError::Timeout) => panic!("the server does not come up"),
            };
        running.has_listened
    }

    /// Whether it listens, without waiting.
    pub fn listens_already(&mut self) -> bool {
        let running = self.running.as_mut().unwrap();
        running.has_listened |= running.banner.try_recv().is_ok();
        running.has_listened
    }

    /// Starts the binary, which must refuse; returns what it said.
    pub fn refusal(&mut self) -> String {
        let before = self.log().len();
        self.launch(None);
        // It may listen, and answer 503, before it has found out.
        let status = self.wait();
        let said = self.log().split_off(before);
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// Runs a command of the binary on this folder to its end.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).env("FOREBAY_LOG", "info");
        command.envs(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command
    }

    /// Asks the edge for something once; `None` if the connection ends before it has answered.
    pub fn try_request(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        exchange(&self.address, method, path, body).ok()
    }

    /// Asks the admin port for something once; `None` if the connection ends before it has answered.
    pub fn try_admin(&self, path: &str) -> Option<(u16, String)> {
        ask((&self.address, PORTS.1), "GET", path, "").ok()
    }

    /// The sum of a metric's series with these labels, of a process that answers.
    pub fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let (_, text) = self.try_admin("/metrics")?;
        let series = text.lines().filter(|line| {
            let behind = line.strip_prefix(name).unwrap_or_default();
            behind.starts_with(['{', ' ']) && behind.contains(labels)
        });
        Some(series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum())
    }

    /// Asks the edge for something until it is ready to answer; the body goes as JSON.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let began = Instant::now();
        loop {
            let (status, reply) = exchange(&self.address, method, path, body).unwrap();
            if status != 503 || began.elapsed() > PATIENCE {
                return (status, reply);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Keeps the data for [`Node::restore`], in `kept`.
    pub fn set_aside(&self) {
        fs::rename(self.path().join("data"), self.path().join("kept")).unwrap();
    }

    /// Puts the data back as it was when it was set aside.
    pub fn restore(&self) {
        let data = self.path().join("data");
        let _ = fs::remove_dir_all(&data);
        copy(&self.path().join("kept"), &data);
    }

    /// Whether it has listened and nobody has seen it ending.
    pub fn is_up(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.has_listened)
    }

    /// Whether there is a process that nobody has seen ending.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.as_ref().unwrap().child), signal).unwrap();
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(9), "it had ended by itself: {status}\n{}", self.log());
    }

    /// How it ended, if it does so within `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.running.as_mut().unwrap().child.try_wait().unwrap() {
                self.running = None;
                self.ended = Some(status);
                return Some(status);
            }
            if began.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.ends_within(PATIENCE).unwrap_or_else(|| panic!("the server does not end\n{}", self.log()))
    }

    /// SIGTERM; everything that was accepted must be delivered by the end.
    pub fn drain(&mut self) {
        if let Some(status) = self.ends_within(Duration::ZERO) {
            panic!("it had ended by itself: {status}\n{}", self.log());
        }
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "the drain is not complete\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// Everything that it printed in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("server.log")
    }

    fn log_file(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(Running { mut child, .. }) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            // Behind everything else, where reports that show an end only have it too.
            let log = fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
            let said: Vec<_> = log.lines().rev().take(LAST_LINES).collect();
            said.iter().rev().for_each(|line| eprintln!("{line}"));
            let ended = self.ended.map_or("not at all by itself".to_owned(), |status| status.to_string());
            eprintln!("that node's folder is kept: {}; it ended: {ended}", folder.keep().display());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn append(path: &Path, text: &str) {
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(text.as_bytes());
    }
}

fn exchange(host: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
    let (status, body) = ask((host, PORTS.0), method, path, body)?;
    Ok((status, serde_json::from_str(&body)?))
}

fn ask((host, port): (&str, u16), method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut connection = TcpStream::connect((host, port))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let unreadable = || io::Error::other(format!("no answer: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(unreadable)?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(unreadable)?;
    Ok((status, body.to_owned()))
}

/// An address of the loopback network that no other process and no other test of this process has.
fn own_address() -> String {
    static NODES: AtomicU32 = AtomicU32::new(1);
    let node = NODES.fetch_add(1, Ordering::Relaxed);
    assert!(node <= 0xff, "more nodes in a test than it has addresses");
    let host = (std::process::id() << 8 | node) & 0x00ff_ffff;
    let [_, high, middle, low] = host.to_be_bytes();
    format!("127.{high}.{middle}.{low}")
}
