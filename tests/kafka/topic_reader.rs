//! Reads topics with a client that is not ours: `tests/readers/kafka_topic.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay::testkit::skip::skipped;
use serde::Deserialize;

/// What of transactions is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only what is committed, and nothing behind a transaction that is open.
    Committed,
    /// Everything.
    Uncommitted,
}

/// A message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it lies.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its content.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Unix time in ms.
    pub timestamp_ms: i64,
    /// Whether that is the producer's time, not the broker's.
    pub is_create_time: bool,
}

impl Message {
    /// The content, which must be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().expect("the message has no content")).unwrap()
    }

    /// The first header of this name, which must be text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(std::str::from_utf8(value.as_deref()?).unwrap())
    }
}

/// Messages as a broker holds them together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeldBatch {
    /// How many there are.
    pub records: usize,
    /// What it takes, with its header.
    pub bytes: u64,
    /// How they are compressed, by the word of the configuration.
    pub codec: String,
}

#[derive(Deserialize)]
struct Line {
    partition: i32,
    offset: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
    timestamp_kind: u8,
    timestamp_ms: i64,
}

/// The Python that can read topics.
pub struct TopicReader {
    python: PathBuf,
}

impl TopicReader {
    /// `None`, and the test is reported as skipped, where there is none.
    pub fn of_environment() -> Option<Self> {
        let Some(python) = std::env::var_os("FOREBAY_PYTHON").map(PathBuf::from) else {
            skipped(
                "FOREBAY_PYTHON is not set (tests/infra/kafka.sh sets it to a Python with confluent-kafka)",
            );
            return None;
        };
        let mut import = Command::new(&python);
        if !import.args(["-c", "import confluent_kafka"]).stderr(Stdio::null()).status().unwrap().success() {
            skipped("FOREBAY_PYTHON has no confluent-kafka (tests/requirements.txt names it)");
            return None;
        }
        Some(Self { python })
    }

    /// All messages of a topic that is there, by partition and offset.
    pub fn messages(&self, servers: &str, topic: &str, isolation: Isolation) -> Vec<Message> {
        let isolation = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/kafka_topic.py");
        let output =
            Command::new(&self.python).arg(script).args([servers, topic, isolation]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(message).collect()
    }

    /// The batches of a partition as the one broker that there is holds them, in the order of their offsets.
    pub fn batches(&self, server: &str, topic: &str, partition: i32) -> Vec<HeldBatch> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/kafka_batches.py");
        let partition = partition.to_string();
        let output =
            Command::new(&self.python).arg(script).args([server, topic, &partition]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The contents of a topic's committed messages, which must be text, by partition and offset.
    pub fn texts(&self, servers: &str, topic: &str) -> Vec<String> {
        let messages = self.messages(servers, topic, Isolation::Committed);
        messages.iter().map(|message| message.text().to_owned()).collect()
    }
}

fn message(line: &str) -> Message {
    let line: Line = serde_json::from_str(line).unwrap();
    let bytes = |text: Option<String>| text.map(|text| STANDARD.decode(text).unwrap());
    Message {
        partition: line.partition,
        offset: line.offset,
        key: bytes(line.key),
        value: bytes(line.value),
        headers: line.headers.into_iter().map(|(name, value)| (name, bytes(value))).collect(),
        timestamp_ms: line.timestamp_ms,
        is_create_time: line.timestamp_kind == 1,
    }
}
