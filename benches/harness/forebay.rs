//! The whole server in this process, from pipeline files as a user writes them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use forebay::config::checked::{Config, Durability};
use forebay::pipeline::Pipelines;
use forebay::testkit::web_events;
use tempfile::TempDir;

use super::scratch_folder;

/// As often as the binary does it.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// What a stream checks and looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judging {
    /// That it is JSON.
    Syntax,
    /// The same, and the partition key is a field.
    Key,
    /// The schema of the web events, and the partition key is a field.
    SchemaAndKey,
    /// The same, and facts of the request are added.
    SchemaKeyAndFacts,
}

/// What web servers write into their logs.
const FACTS: &str = "add = { field = \"/request\", facts = [\"arrival_time\", \"client_network\", \"user_agent\", \"header:referer\"] }\n";

/// A stream to be configured.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    pub name: String,
    pub shards: u32,
    pub judging: Judging,
    pub durability: Durability,
    /// Seconds after which a file of its delivery is closed; no delivery without it.
    pub delivery_seconds: Option<u32>,
}

impl StreamSpec {
    /// In memory, without a delivery.
    pub fn new(name: &str, shards: u32, judging: Judging) -> Self {
        let durability = Durability::Memory;
        Self { name: name.to_owned(), shards, judging, durability, delivery_seconds: None }
    }

    /// Its pipeline file.
    pub fn file(&self) -> String {
        let Self { name, shards, .. } = self;
        let durability = self.durability.as_str();
        let mut text = format!(
            "[stream]\nname = \"{name}\"\nshards = {shards}\ndurability = \"{durability}\"\n[ingest]\n"
        );
        if self.judging != Judging::Syntax {
            writeln!(text, "partition_key = \"{}\"", web_events::KEY_POINTER).unwrap();
        }
        if matches!(self.judging, Judging::SchemaAndKey | Judging::SchemaKeyAndFacts) {
            text.push_str("schema = \"web.schema.json\"\n");
        }
        if self.judging == Judging::SchemaKeyAndFacts {
            text.push_str(FACTS);
        }
        if let Some(seconds) = self.delivery_seconds {
            write!(text, "[[delivery]]\nname = \"lake\"\nbuffer = {{ interval = \"{seconds}s\" }}\n")
                .unwrap();
        }
        text
    }
}

/// Writes the files of one edge thread and these streams into a folder of its own, and checks them.
pub fn configure(streams: &[StreamSpec]) -> (Config, TempDir) {
    let files: Vec<_> = streams.iter().map(|stream| (stream.name.clone(), stream.file())).collect();
    configure_with(&files, "")
}

/// The same with the text of each pipeline file, by its name, and of the node beside where it listens.
pub fn configure_with(files: &[(String, String)], node_text: &str) -> (Config, TempDir) {
    let folder = scratch_folder();
    let pipelines = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).unwrap();
    std::fs::write(pipelines.join("web.schema.json"), web_events::schema().to_string()).unwrap();
    for (name, text) in files {
        std::fs::write(pipelines.join(format!("{name}.toml")), text).unwrap();
    }
    let node = folder.path().join("forebay.toml");
    let data = folder.path().join("data");
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\n";
    std::fs::write(&node, format!("data_dir = {:?}\n{node_text}{listen}", data.to_str().unwrap())).unwrap();
    let config = forebay::config::load(&[pipelines], Some(&node), &|_| None);
    (config.unwrap_or_else(|problems| panic!("{problems}")), folder)
}

/// A running server. Drained when dropped.
pub struct Server {
    pub pipelines: Arc<Pipelines>,
    /// Dropped to end the housekeeping.
    stop: Option<mpsc::Sender<()>>,
    housekeeping: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Server {
    /// Starts these streams.
    pub fn start(streams: &[StreamSpec]) -> Self {
        Self::of(configure(streams))
    }

    /// Starts what is configured.
    pub fn of((config, folder): (Config, TempDir)) -> Self {
        let pipelines = Arc::new(Pipelines::listen(&config).unwrap());
        pipelines.build(config, false).unwrap();
        let (stop, stopped) = mpsc::channel();
        let housekeeping = thread::Builder::new().name("housekeeping".to_owned()).spawn({
            let pipelines = Arc::clone(&pipelines);
            move || {
                while stopped.recv_timeout(HOUSEKEEPING_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                    pipelines.housekeeping();
                }
            }
        });
        Self { pipelines, stop: Some(stop), housekeeping: Some(housekeeping.unwrap()), _folder: folder }
    }

    /// Where the edge listens.
    pub fn address(&self) -> SocketAddr {
        self.pipelines.address()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.housekeeping.take() {
            let _ = thread.join();
        }
        self.pipelines.drain();
    }
}
