//! A row of the matrix from its begin to its verdict: a node with two streams and four deliveries, load on both
//! streams, and at the end a drain and a look into the lakes.

use std::path::Path;
use std::time::{Duration, Instant};

use forebay::testkit::generators::Profile;
use forebay::testkit::skip::skipped;
use forebay_load::manifest::Manifest;
use forebay_load::run::Outcome;
use serde_json::Value;

use crate::chance;
use crate::load::{self, Load};
use crate::node::{LOOK, Node, PATIENCE};
use crate::table::{self, Row};

/// How to begin.
#[derive(Clone)]
pub struct Setup {
    /// Of both streams.
    pub durability: &'static str,
    /// Lines of the node's file, in front of its tables.
    pub node: String,
    /// Lines of its `[log]`.
    pub log: String,
    /// Where lakes are, as `sink = …` with `{path}` for a path below it.
    pub sink: String,
    /// Both streams' `idempotency_window`.
    pub window: &'static str,
    /// Lines of the JSON deliveries.
    pub json: &'static str,
    /// When files are closed.
    pub buffer: &'static str,
    /// Records a second on each stream.
    pub rate: f64,
    /// Records in a request.
    pub batch: u32,
    /// Bytes of a record, about.
    pub record_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            durability: "fsync",
            node: String::new(),
            log: "segment = \"4MiB\"".into(),
            sink: "sink = { path = \"lake/{path}\" }".into(),
            json: "",
            window: "10m",
            buffer: "{ size = \"256KiB\", interval = \"1s\" }",
            rate: 1_000.0,
            batch: 20,
            record_bytes: 0,
        }
    }
}

/// Streams of the matrix, with what they are about.
pub const STREAMS: [(&str, Profile); 2] = [("sensors", Profile::Iot), ("clicks", Profile::Clickstream)];

const FORMATS: [&str; 2] = ["json", "parquet"];

/// Columns of `sensors`: a humidity of 100 does not fit, one record in a thousand.
const COLUMNS: &str = r#"
[schema]
columns = [
  { name = "device_id", type = "string", nullable = false }, { name = "timestamp", type = "timestamp_millis" },
  { name = "site", type = "string" }, { name = "model", type = "string" },
  { name = "temperature", type = "decimal(4, 2)" }, { name = "humidity", type = "decimal(3, 1)" },
  { name = "battery", type = "int8" }, { name = "location", type = "struct<lat: decimal(6, 4), lon: decimal(7, 4)>" },
  { name = "status", type = "string" }, { name = "readings", type = "list<decimal(7, 3)>" },
  { name = "firmware", type = "string" }, { name = "producer", type = "string" },
  { name = "sequence", type = "int64" }, { name = "hash", type = "string" },
]
"#;

impl Setup {
    /// A node that is not started yet.
    pub fn node(&self) -> Node {
        let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let schema = |name: &str| std::fs::read_to_string(pipelines.join(name)).unwrap();
        // Every hundredth sensor has a full battery, which this one takes for a fault.
        let mut strict: Value = serde_json::from_str(&schema("iot.schema.json")).unwrap();
        strict["properties"]["battery"]["maximum"] = 99.into();
        let files = [
            ("sensors.toml", self.pipeline("sensors", 4, "/device_id", "status={/status}/") + COLUMNS),
            ("sensors.schema.json", strict.to_string()),
            ("clicks.toml", self.pipeline("clicks", 2, "/session_id", "type={/event_type}/")),
            ("clicks.schema.json", schema("clickstream.schema.json")),
        ];
        Node::new(&format!("{}\n[log]\n{}", self.node, self.log), &files)
    }

    fn pipeline(&self, stream: &str, shards: u32, key: &str, prefix: &str) -> String {
        let Self { durability, sink, json, window, buffer, .. } = self;
        let delivery = |format: &str| {
            let sink = sink.replace("{path}", &format!("{stream}/{format}"));
            let lines = if format == "json" { json } else { "" };
            format!(
                "[[delivery]]\nname = \"{format}\"\n{sink}\nformat = \"{format}\"\n{lines}\nbuffer = {buffer}\n\
                 prefix = \"{prefix}\"\n"
            )
        };
        format!(
            "[stream]\nname = \"{stream}\"\nshards = {shards}\ndurability = \"{durability}\"\n\
             idempotency_window = \"{window}\"\n\
             [ingest]\npartition_key = \"{key}\"\nschema = \"{stream}.schema.json\"\non_invalid = \"dead_letter\"\n"
        ) + &FORMATS.map(delivery).concat()
    }

    fn load(&self, stream: &'static str, profile: Profile) -> Load {
        let Self { rate, batch, record_bytes, .. } = *self;
        Load { stream, run: stream.into(), is_repeated: true, profile, rate, batch, record_bytes }
    }
}

/// Whether rows may take their time; says so if not.
pub fn long_row() -> bool {
    if !chance::is_long() {
        skipped("a row of `make crash` alone");
    }
    chance::is_long()
}

/// A row under way. The node is up, and load is on it.
pub struct Trial {
    /// What it runs on.
    pub node: Node,
    /// What to report.
    pub row: Row,
    loads: Vec<load::Running>,
}

impl Trial {
    /// Starts a node and load on both of its streams.
    pub fn begin(name: &str, setup: &Setup) -> Self {
        Self::on(setup.node(), name, setup)
    }

    /// The same on a node that is there.
    pub fn on(mut node: Node, name: &str, setup: &Setup) -> Self {
        node.start();
        let loads = STREAMS.map(|(stream, profile)| setup.load(stream, profile).start(&node.url())).into();
        Self { node, row: Row { name: name.into(), ..Row::default() }, loads }
    }

    /// Waits until each stream has acked as many records more.
    pub fn progress(&self, records: u64) {
        let goals: Vec<_> = self.loads.iter().map(|load| load.acked() + records).collect();
        let began = Instant::now();
        for (load, goal) in self.loads.iter().zip(goals) {
            while load.acked() < goal {
                let stream = load.stream;
                assert!(began.elapsed() < PATIENCE, "{stream} acks nothing\n{}", self.node.log());
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Records that were acked so far.
    pub fn acked(&self) -> u64 {
        self.loads.iter().map(load::Running::acked).sum()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.node.kill();
        self.row.kills += 1;
    }

    /// Lets the process that is under load die at a crash point and starts it again. False if it did not come by there
    /// within `patience`; it then goes on.
    pub fn dies_at(&mut self, point: &str, passing: u64, patience: Duration) -> bool {
        self.kill();
        self.node.launch(Some(&format!("{point}:{passing}")));
        let is_dead = self.died(patience);
        if is_dead {
            self.node.start();
        }
        is_dead
    }

    /// Whether the process kills itself within `patience`.
    pub fn died(&mut self, patience: Duration) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let Some(status) = self.node.ends_within(patience) else { return false };
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}\n{}", self.node.log());
        self.row.kills += 1;
        true
    }

    /// Ends the load. What it sent stays to be judged.
    pub fn end_load(&mut self) -> Vec<Outcome> {
        self.progress(1);
        self.loads.drain(..).map(load::Running::finish).collect()
    }

    /// Ends the load, drains the node, reads the lakes, and demands that everything is there once and in order.
    pub fn end(mut self) -> Row {
        let outcomes = self.end_load();
        self.settle(&outcomes)
    }

    /// The same for load that has ended.
    pub fn settle(mut self, outcomes: &[Outcome]) -> Row {
        if self.node.is_running() {
            self.node.drain();
        }
        let manifests: Vec<_> = outcomes.iter().map(|outcome| &outcome.manifest).collect();
        let verdicts = self.judge(&manifests);
        table::keep(&self.row);
        let Row { missing, duplicated, reordered, .. } = self.row;
        assert_eq!((missing, duplicated, reordered), (0, 0, 0), "{verdicts}\n{}", self.node.log());
        self.own_verdict();
        self.row.clone()
    }

    /// Reads the lakes of all deliveries into the row; returns what there is to say in words.
    pub fn judge(&mut self, manifests: &[&Manifest]) -> String {
        let row = &mut self.row;
        let mut said = String::new();
        let (mut is_well, mut dead_formats) = (true, 0);
        for manifest in manifests {
            row.acked += load::acked(manifest);
            let lake = |format: &str| {
                load::folder_lake(&self.node.path().join("lake").join(&manifest.stream).join(format))
            };
            for verdict in load::judge(&FORMATS.map(lake), &[], &[manifest]) {
                row.delivered += verdict.records;
                row.dead_lettered += verdict.dead_lettered;
                row.missing += verdict.missing;
                row.duplicated += verdict.duplicated;
                row.reordered += verdict.reordered;
                is_well &= verdict.ok || verdict.missing + verdict.duplicated + verdict.reordered > 0;
                is_well &= verdict.hash_unchecked + verdict.order_unchecked + verdict.foreign == 0;
                dead_formats += u64::from(verdict.dead_lettered > 0);
                said.push_str(&verdict.to_string());
            }
        }
        assert!(is_well, "{said}");
        // `sensors` has records that do not fit, or the row would not show what becomes of them.
        assert!(dead_formats > 0 || row.acked < 5_000, "{said}");
        said
    }

    /// Lets the binary judge itself, if it has the command.
    fn own_verdict(&self) {
        let help = self.node.output(&["--help"]);
        if !String::from_utf8_lossy(&help.stdout).lines().any(|line| line.trim_start().starts_with("verify"))
        {
            return;
        }
        let own = self.node.output(&["verify"]);
        let said = String::from_utf8_lossy(&own.stdout).into_owned() + &String::from_utf8_lossy(&own.stderr);
        assert!(own.status.success(), "forebay verify: {}\n{said}", own.status);
    }
}
