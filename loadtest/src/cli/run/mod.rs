//! `run`: its options.

mod plan;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use forebay_load::run::FilePart;
use forebay_load::run::consume::TapKind;
use forebay_load::run::workload::Protocol;

use super::{Profile, duration};
use crate::processes::PROCESSES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// At a constant rate; latency counts from when a request was due
    Open,
    /// Each connection sends as soon as it has the reply to the request before
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the server listens
    #[arg(long, env = "FOREBAY_LOAD_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Which stream to post to [default: the profile's name]
    #[arg(long)]
    stream: Option<String>,
    /// What the records are about
    #[arg(long, value_enum, default_value = "clickstream", conflicts_with = "file")]
    profile: Profile,
    /// Replay NDJSON, plain or .gz, instead of making records; once, unless --duration or --records say more
    #[arg(long, requires = "stream")]
    file: Option<PathBuf>,
    /// Replay only this one of several parts of the file, so that machines can share it: 1/3, 2/3, 3/3
    #[arg(long, value_name = "PART/PARTS", requires = "file", value_parser = file_part)]
    file_part: Option<FilePart>,
    /// When a request starts [default: open if --rate is given, else closed]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Records a second over all connections (open loop)
    #[arg(long)]
    rate: Option<f64>,
    /// Connections, each with --pipeline requests at a time
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Requests under way on each connection, of different producers; not for websocket
    #[arg(long, default_value_t = 1)]
    pipeline: u32,
    /// Threads of the connections
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Threads that make request bodies ahead
    #[arg(long, default_value_t = 1)]
    feeders: u32,
    /// Begin at this time, RFC 3339, so that several machines begin together [default: now]
    #[arg(long, value_name = "TIME")]
    start_at: Option<DateTime<Utc>>,
    /// End after so long: 500ms, 30s, 2m [default: 10s without --records and --file]
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// End after so many records
    #[arg(long)]
    records: Option<u64>,
    /// Records in a request; 1 sends single events as application/json
    #[arg(long, default_value_t = 100)]
    batch: u32,
    /// Bytes of a record, about; 0 for the natural size
    #[arg(long, default_value_t = 0)]
    record_size: usize,
    /// Number of partition keys
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Skew of the keys: Zipf exponent, 0 for none
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Content-Encoding of the bodies
    #[arg(long, value_enum, default_value = "none")]
    compression: Compression,
    /// How records are sent: native, http2, websocket, kinesis and kinesis-cbor (PutRecords), firehose (PutRecordBatch)
    #[arg(long, default_value = "native", value_parser = protocol, conflicts_with = "mix")]
    protocol: Protocol,
    /// Several at once: native:80,kinesis:15:batch=1..500,firehose:5:size=200..4000; weights are shares of the records
    #[arg(long)]
    mix: Option<String>,
    /// Certificates (PEM) that vouch for a server of https [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Take every certificate: the load may go to somebody else
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Seed of the records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Producers, at least one for each request that may be under way [default: as many]
    #[arg(long)]
    producers: Option<u32>,
    /// Part of the producers' names that keeps runs apart [default: the time of day]
    #[arg(long)]
    run_name: Option<String>,
    /// Try again after 429, 503, 507 and broken or refused connections, with growing pauses and not before Retry-After
    #[arg(long)]
    retry: bool,
    /// For how long a request is tried again; the server must remember keys for longer
    #[arg(long, value_parser = duration, default_value = "60s", requires = "retry")]
    patience: Duration,
    /// Send an Idempotency-Key with each request, the same with each try [default: with --retry]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    idempotent: Option<bool>,
    /// After how long without a reply a request counts as broken
    #[arg(long, value_parser = duration, default_value = "30s")]
    timeout: Duration,
    /// Readers of the stream, which measure how long records take from being sent to being read, and check their order
    #[arg(long, value_name = "N", default_value_t = 0)]
    tap: u32,
    /// How readers come in: events (server-sent events) or websocket
    #[arg(long, default_value = "events", value_parser = tap_kind, requires = "tap")]
    tap_protocol: TapKind,
    /// Process id of the server: measure its CPU time and memory
    #[arg(long)]
    server_pid: Option<u32>,
    /// Go on measuring the server for so long after the last reply, for the work that is still under way
    #[arg(long, value_parser = duration, default_value = "0s")]
    settle: Duration,
    /// Where the server tells its metrics, such as http://127.0.0.1:9090/metrics: seals, uploads, commits by seconds
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Write the run second by second to this file, for `report` and `compare`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Share connections, rate, records and the lines of --file among so many processes, and report them as one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(PROCESSES_MAX)))]
    pub processes: u32,
    /// What is done meanwhile, and verified at the end: kill@10s,restart@12s; also terminate, freeze and thaw, stall,
    /// cut and heal. Needs --retry
    #[arg(long, requires = "retry", conflicts_with = "ramp")]
    chaos: Option<String>,
    /// Start the server by this command, for a shell; it is told to end after the load
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["server_pid", "ramp"], requires = "retry")]
    server_command: Option<String>,
    /// Where the output of --server-command goes [default: nowhere]
    #[arg(long, value_name = "FILE", requires = "server_command")]
    server_log: Option<PathBuf>,
    /// Listen here and lead to there, as the way to the store of stall, cut and heal: 127.0.0.1:9100=127.0.0.1:9000
    #[arg(long, value_name = "LISTEN=UPSTREAM")]
    stall_proxy: Option<String>,
    /// The process of freeze and thaw, such as the store's [default: the server]
    #[arg(long, value_name = "PID")]
    freeze_pid: Option<u32>,
    /// The process that began this one, which ends with it: several processes make one run
    #[arg(long, hide = true)]
    pub parent: Option<u32>,
    /// Verify this lake by what was acked, once the server has ended
    #[arg(long, value_name = "LAKE-URL", requires = "server_command")]
    verify: Vec<String>,
    /// URL of the S3-compatible store of --verify
    #[arg(long, value_name = "URL", requires = "verify")]
    endpoint: Option<String>,
    /// JSON pointer to the partition key for --verify, or none [default: where the profile has it; none with --file]
    #[arg(long, requires = "verify")]
    key: Option<String>,
    /// Raise the rate step by step from this one until the server cannot keep up, and find the knee
    #[arg(long, value_name = "RATE", conflicts_with_all = ["rate", "mode", "duration", "records"])]
    pub ramp: Option<f64>,
    /// Each rate is so many times the one before
    #[arg(long, default_value_t = 1.5, requires = "ramp")]
    ramp_factor: f64,
    /// How long a step is
    #[arg(long, value_parser = duration, default_value = "10s", requires = "ramp")]
    ramp_step: Duration,
    /// What p99 may be in a step that is sustained
    #[arg(long, value_parser = duration, default_value = "100ms", requires = "ramp")]
    ramp_latency: Duration,
    /// How often the gap around the knee is halved
    #[arg(long, default_value_t = 4, requires = "ramp")]
    ramp_refine: u32,
    /// No step is faster
    #[arg(long, value_name = "RATE", default_value_t = 1e8, requires = "ramp")]
    ramp_max: f64,
    /// Write the table and plots of the ramp to this file
    #[arg(long, value_name = "FILE", requires = "ramp")]
    pub ramp_html: Option<PathBuf>,
    /// Write the report as JSON to this file; - for standard output, in the place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what was acked to this file, for `verify --manifest`; also after SIGINT and SIGTERM
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

fn protocol(name: &str) -> Result<Protocol, String> {
    Protocol::parse(name)
        .ok_or_else(|| "give native, http2, websocket, kinesis, kinesis-cbor or firehose".to_owned())
}

fn file_part(text: &str) -> Result<FilePart, String> {
    FilePart::parse(text).ok_or_else(|| "give PART/PARTS, such as 1/3 for the first of three".to_owned())
}

fn tap_kind(name: &str) -> Result<TapKind, String> {
    match name {
        "events" => Ok(TapKind::Events),
        "websocket" => Ok(TapKind::WebSocket),
        _ => Err("give events or websocket".to_owned()),
    }
}
