//! The real binary with a stream, as tests need it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use forebay::testkit::skip::skipped;
use forebay_load::manifest::Manifest;
use forebay_load::verify::{self, KeyRule, Verdict};
use tempfile::TempDir;

/// The server's binary: built beside the tests by `cargo test --workspace`, but not by `cargo test -p forebay-load`.
pub fn binary() -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("forebay");
    if path.exists() {
        return Some(path);
    }
    skipped("the forebay binary is not built: run the tests of the whole workspace");
    None
}

/// A running server whose stream `clickstream` goes into files of JSON.
pub struct Node {
    pub url: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PIPELINE: &str = "[stream]\nname = \"clickstream\"\nshards = 4\ndurability = \"fsync\"\n\
    [ingest]\npartition_key = \"/session_id\"\n\
    [[delivery]]\nname = \"json\"\nformat = \"json\"\ncompression = \"gzip\"\n\
    buffer = { size = \"4MiB\", interval = \"1s\" }\n";

impl Node {
    /// `settings` stand behind those of the listening addresses. Nothing without a binary.
    pub fn start(settings: &str) -> Option<Self> {
        let binary = binary()?;
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), ["127.0.0.1:0"; 2], settings);
        let (child, url) = launch(&binary, folder.path(), Path::new("pipelines"));
        Some(Self { url, child, folder })
    }

    /// Ends it in good order and judges its lake.
    pub fn stop_and_judge(mut self, manifests: Vec<Manifest>) -> Vec<Verdict> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        judge(self.folder.path(), manifests)
    }
}

/// Starts the binary in `folder`, and waits until it tells its URL.
pub fn launch(binary: &Path, folder: &Path, pipelines: &Path) -> (Child, String) {
    let mut child = Command::new(binary)
        .args([Path::new("serve"), pipelines])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut banner = String::new();
    stdout.read_line(&mut banner).unwrap();
    let (_, rest) = banner.split_once("listens on ").expect(&banner);
    let url = rest.split([',', '\n']).next().unwrap().to_owned();
    // The rest of the output must not fill the pipe.
    std::thread::spawn(move || stdout.read_to_string(&mut String::new()));
    (child, url)
}

/// Writes the files that a server needs, which listens at the first address and is watched at the second.
pub fn prepare(folder: &Path, [listen, admin]: [&str; 2], settings: &str) {
    let server = format!("[server]\nlisten = \"{listen}\"\nadmin = \"{admin}\"\n");
    std::fs::write(folder.join("forebay.toml"), server + settings).unwrap();
    std::fs::create_dir(folder.join("pipelines")).unwrap();
    std::fs::write(folder.join("pipelines/clickstream.toml"), PIPELINE).unwrap();
}

/// What can be said about the lake of a server that has ended.
pub fn judge(folder: &Path, manifests: Vec<Manifest>) -> Vec<Verdict> {
    let lake = folder.join("data/lake/clickstream/json");
    let plan = verify::Plan {
        lakes: vec![lake.to_str().unwrap().to_owned()],
        options: vec![],
        manifests,
        key: KeyRule::Profile,
        errors_folder: "errors".into(),
        jobs: 2,
    };
    verify::verify(&plan, &mut |_| {}).unwrap()
}
