//! Arguments → plans.

use std::path::PathBuf;
use std::time::Duration;

use crate::processes::PROCESSES_MAX;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use forebay::cli::node_key;
use forebay::runtime::clock::UnixMicros;
use forebay::testkit::generators;
use forebay_load::manifest::Manifest;
use forebay_load::ramp::Ramp;
use forebay_load::run::consume::TapKind;
use forebay_load::run::workload::{Class, Protocol};
use forebay_load::{chaos, generate, run, verify};

/// Load for Forebay, and the proof that all of it arrived.
#[derive(Debug, Parser)]
#[command(name = "forebay-load", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Post records and measure. Exit code 1 if any request failed for good
    #[command(
        args_override_self = true,
        after_help = "FOREBAY_API_KEY in the environment: the key that is shown to a server that asks for one."
    )]
    Run(Box<RunArgs>),
    /// Tell how much CPU time the load generator itself takes for a request, against a responder of its own
    Calibrate(CalibrateArgs),
    /// Read lakes back. Exit code 1 if records are missing, duplicated, reordered or damaged
    Verify(VerifyArgs),
    /// Draw records of runs: a page, a picture
    Report(ReportArgs),
    /// Tell which differences of two runs are more than chance
    Compare(CompareArgs),
    /// Make one record or manifest of those of several processes that ran at the same time
    Merge(MergeArgs),
    /// Print records as NDJSON
    Generate(GenerateArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Clickstream,
    Iot,
    Telemetry,
}

impl From<Profile> for generators::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Clickstream => Self::Clickstream,
            Profile::Iot => Self::Iot,
            Profile::Telemetry => Self::Telemetry,
        }
    }
}

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
    /// When a request starts [default: open if --rate is given, else closed]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Records a second over all connections (open loop)
    #[arg(long)]
    rate: Option<f64>,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Threads of the connections
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Threads that make request bodies ahead
    #[arg(long, default_value_t = 1)]
    feeders: u32,
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
    /// How records are sent: native, http2, websocket, kinesis (PutRecords), firehose (PutRecordBatch)
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
    /// Producers, at least one for each connection [default: as many as connections]
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
    /// Share connections, rate and records among so many processes, and report them as one
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
    /// Verify this lake by what was acked, once the server has ended
    #[arg(long, value_name = "LAKE-URL", requires = "server_command")]
    verify: Vec<String>,
    /// URL of the S3-compatible store of --verify
    #[arg(long, value_name = "URL", requires = "verify")]
    endpoint: Option<String>,
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

impl RunArgs {
    /// What is done while the load goes on, if anything.
    pub fn chaos(&self) -> Option<chaos::Settings> {
        let settings = chaos::Settings {
            script: self.chaos.clone().unwrap_or_default(),
            server_command: self.server_command.clone(),
            server_log: self.server_log.clone(),
            stall_proxy: self.stall_proxy.clone(),
            freeze_pid: self.freeze_pid,
        };
        let is_asked = self.chaos.is_some() || self.server_command.is_some() || self.stall_proxy.is_some();
        is_asked.then_some(settings)
    }

    /// The lakes that are verified when the server has ended.
    pub fn lakes(&self) -> Option<VerifyArgs> {
        (!self.verify.is_empty()).then(|| VerifyArgs {
            lakes: self.verify.clone(),
            manifest: Vec::new(),
            endpoint: self.endpoint.clone(),
            key: None,
            errors: "errors".to_owned(),
            jobs: None,
            json: None,
        })
    }

    /// A plan with all steps of `--ramp`, if that is given.
    pub fn ramp(mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<Result<Ramp, run::Plan>, String> {
        let Some(from) = self.ramp else { return self.plan(env).map(Err) };
        let (factor, refine, rate_max) = (self.ramp_factor, self.ramp_refine, self.ramp_max);
        let (step, latency_max) = (self.ramp_step, self.ramp_latency);
        if !(factor > 1.0 && factor <= 100.0) {
            return Err(format!("--ramp-factor {factor} cannot be used: give more than 1, up to 100"));
        }
        self.rate = Some(from);
        let plan = self.plan(env)?;
        Ok(Ok(Ramp { plan, from, factor, step, latency_max, refine, rate_max }))
    }

    /// `env` looks up what must not stand in a command line.
    pub fn plan(self, env: &dyn Fn(&str) -> Option<String>) -> Result<run::Plan, String> {
        let mode = match (self.mode, self.rate) {
            (Some(Mode::Open) | None, Some(rate)) => run::Mode::Open { rate },
            (Some(Mode::Closed) | None, None) => run::Mode::Closed,
            (Some(Mode::Open), None) => return Err("--mode open needs a --rate in records a second".into()),
            (Some(Mode::Closed), Some(_)) => {
                return Err("--mode closed has no --rate: it is as fast as the replies".into());
            }
        };
        let profile: generators::Profile = self.profile.into();
        let has_end = self.records.is_some() || self.file.is_some();
        let source = match self.file {
            Some(path) => run::Source::File(path),
            None => run::Source::Profile(profile),
        };
        let trust = match self.ca {
            Some(path) => run::Trust::Ca(path),
            None if self.insecure => run::Trust::Everybody,
            None => run::Trust::System,
        };
        let mut plan = run::Plan {
            trust,
            credentials: credentials(env),
            mix: Vec::new(),
            taps: self.tap,
            tap_kind: self.tap_protocol,
            target: run::Target::parse(&self.url).map_err(|error| error.to_string())?,
            authorization: node_key::authorization(env).map_err(|error| error.to_string())?,
            stream: self.stream.unwrap_or_else(|| profile.name().to_owned()),
            source,
            mode,
            connections: self.connections,
            threads: self.threads,
            feeders: self.feeders,
            producers: self.producers.unwrap_or(self.connections),
            duration: self.duration.or((!has_end).then_some(Duration::from_secs(10))),
            records: self.records,
            batch: self.batch,
            record_bytes: self.record_size,
            keys: self.keys,
            zipf: self.zipf,
            compression: match self.compression {
                Compression::None => run::Compression::None,
                Compression::Gzip => run::Compression::Gzip,
                Compression::Zstd => run::Compression::Zstd,
            },
            seed: self.seed,
            run_name: self.run_name.unwrap_or_else(|| Utc::now().format("%Y%m%dT%H%M%S%3f").to_string()),
            retry: self.retry.then_some(self.patience),
            idempotent: self.idempotent.unwrap_or(self.retry),
            timeout: self.timeout,
            server_pid: self.server_pid,
            followed_pid: None,
            settle: self.settle,
            metrics: self.metrics.as_deref().map(metrics_target).transpose()?,
        };
        plan.mix = match self.mix {
            Some(mix) => Class::parse_mix(&mix, &plan.whole()).map_err(|error| error.to_string())?,
            None => vec![Class { protocol: self.protocol, ..plan.whole() }],
        };
        Ok(plan)
    }
}

fn protocol(name: &str) -> Result<Protocol, String> {
    Protocol::parse(name).ok_or_else(|| "give native, http2, websocket, kinesis or firehose".to_owned())
}

fn tap_kind(name: &str) -> Result<TapKind, String> {
    match name {
        "events" => Ok(TapKind::Events),
        "websocket" => Ok(TapKind::WebSocket),
        _ => Err("give events or websocket".to_owned()),
    }
}

/// As SDKs of AWS find them; none means that requests are not signed.
fn credentials(env: &dyn Fn(&str) -> Option<String>) -> Option<run::Credentials> {
    Some(run::Credentials {
        key_id: env("AWS_ACCESS_KEY_ID")?,
        secret: env("AWS_SECRET_ACCESS_KEY")?,
        session_token: env("AWS_SESSION_TOKEN"),
        region: env("AWS_REGION")
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned()),
    })
}

/// Without a path it is the one that the server has.
fn metrics_target(url: &str) -> Result<run::Target, String> {
    let mut target = run::Target::parse(url).map_err(|error| error.to_string())?;
    if target.prefix.is_empty() {
        target.prefix = "/metrics".to_owned();
    }
    Ok(target)
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// s3://BUCKET/PREFIX/, file:///FOLDER/ or a folder; each is a complete copy and judged alone
    #[arg(required = true, value_name = "LAKE-URL")]
    lakes: Vec<String>,
    /// What a run wrote about acked records; once for each run into the lake. Without one, only gaps are missing
    #[arg(long, value_name = "FILE")]
    pub manifest: Vec<PathBuf>,
    /// URL of an S3-compatible store. Access keys and region come from AWS_* in the environment
    #[arg(long)]
    endpoint: Option<String>,
    /// JSON pointer to the partition key, or none [default: where the profile has it]
    #[arg(long)]
    key: Option<String>,
    /// Name of the folders that hold dead letters
    #[arg(long, default_value = "errors")]
    errors: String,
    /// Objects that are read at a time [default: one a CPU]
    #[arg(long)]
    jobs: Option<usize>,
    /// Print the verdicts as JSON in the place of the text; with =FILE, write them there besides the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,
}

impl VerifyArgs {
    pub fn plan(
        self,
        environment: Vec<(String, String)>,
        manifests: Vec<Manifest>,
    ) -> Result<verify::Plan, String> {
        let mut options = environment;
        if let Some(endpoint) = self.endpoint {
            options.retain(|(name, _)| !name.starts_with("aws_endpoint"));
            options.push(("aws_endpoint".into(), endpoint));
        }
        // Whoever names a plain endpoint means it.
        let is_plain = |(name, value): &(String, String)| {
            name.starts_with("aws_endpoint") && value.starts_with("http://")
        };
        if options.iter().any(is_plain) && options.iter().all(|(name, _)| name != "aws_allow_http") {
            options.push(("aws_allow_http".into(), "true".into()));
        }
        let key = self.key.map(|key| verify::KeyRule::parse(&key)).transpose();
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(verify::Plan {
            lakes: self.lakes,
            options,
            manifests,
            key: key.map_err(|error| error.to_string())?.unwrap_or_default(),
            errors_folder: self.errors,
            jobs: self.jobs.unwrap_or_else(cpus).clamp(1, 64),
        })
    }
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `run --record` has written
    #[arg(required = true, value_name = "RECORD")]
    pub records: Vec<PathBuf>,
    /// Write a page that needs nothing else to this file
    #[arg(long, value_name = "FILE", required_unless_present = "png")]
    pub html: Option<PathBuf>,
    /// Write a picture to this file
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// How long to send
    #[arg(long, value_parser = duration, default_value = "5s")]
    duration: Duration,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Threads of the connections
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Records in a request; 1 sends single events
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// Bytes of a record, about; 0 for the natural size
    #[arg(long, default_value_t = 0)]
    record_size: usize,
    /// Write the cost as JSON to this file; - for standard output, in the place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl CalibrateArgs {
    pub fn plan(&self) -> run::Plan {
        run::Plan {
            duration: Some(self.duration),
            connections: self.connections,
            producers: self.connections,
            threads: self.threads,
            batch: self.batch,
            record_bytes: self.record_size,
            ..run::Plan::default()
        }
    }
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What `run --record` has written before a change
    pub a: PathBuf,
    /// And after it
    pub b: PathBuf,
    /// Write both runs over each other to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The same as a picture
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write the table as JSON to this file; - for standard output, in the place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit code 1 if something is worse by more than chance
    #[arg(long)]
    pub fail_if_worse: bool,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// What `run --record` has written in each process
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "record", required_unless_present = "manifests")]
    pub records: Vec<PathBuf>,
    /// What `run --manifest` has written in each process
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "manifest")]
    pub manifests: Vec<PathBuf>,
    /// Write the merged record to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Write the merged manifest to this file
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What the records are about
    #[arg(long, value_enum)]
    profile: Profile,
    /// How many
    #[arg(long)]
    count: u64,
    /// Seed of the records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of partition keys
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Skew of the keys: Zipf exponent, 0 for none
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Bytes of a record, about; 0 for the natural size
    #[arg(long, default_value_t = 0)]
    record_size: usize,
    /// Event time of the first record, RFC 3339
    #[arg(long, default_value = "2026-01-01T00:00:00Z")]
    start: DateTime<Utc>,
    /// Event time from record to record: 250ms, 1s
    #[arg(long, value_parser = duration, default_value = "250ms")]
    step: Duration,
}

impl GenerateArgs {
    pub fn plan(&self) -> Result<generate::Plan, String> {
        let step = self.step.as_micros().try_into().map_err(|_| "--step is too long".to_owned())?;
        Ok(generate::Plan {
            profile: self.profile.into(),
            count: self.count,
            seed: self.seed,
            keys: self.keys,
            zipf: self.zipf,
            record_bytes: self.record_size,
            start: UnixMicros(self.start.timestamp_micros()),
            step_micros: step,
        })
    }
}

/// `500ms`, `30s`, `2m`, `1h`; a plain number means seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("give a time such as 500ms, 30s, 2m or 1h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "give a time such as 500ms, 30s, 2m or 1h".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "the time is negative or too long".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

    use clap::CommandFactory;

    use super::*;

    fn plan(args: &[&str]) -> Result<run::Plan, String> {
        let cli = Cli::try_parse_from([&["forebay-load", "run"], args].concat())
            .map_err(|error| error.to_string())?;
        let Command::Run(args) = cli.command else { return Err("another command".into()) };
        args.plan(&|_| None)
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_rate_means_an_open_loop_and_none_a_closed_one() {
        assert_eq!(plan(&["--rate", "500"]).unwrap().mode, run::Mode::Open { rate: 500.0 });
        assert_eq!(plan(&[]).unwrap().mode, run::Mode::Closed);
        assert!(plan(&["--mode", "open"]).is_err());
        assert!(plan(&["--mode", "closed", "--rate", "5"]).is_err());
    }

    #[test]
    fn a_run_without_an_end_lasts_ten_seconds() {
        let of = |args: &[&str]| {
            let plan = plan(args).unwrap();
            (plan.duration, plan.records)
        };
        assert_eq!(of(&[]), (Some(Duration::from_secs(10)), None));
        assert_eq!(of(&["--records", "5"]), (None, Some(5)));
        assert_eq!(of(&["--file", "a", "--stream", "s"]), (None, None));
    }

    #[test]
    fn requests_that_are_tried_again_carry_a_key_unless_told_otherwise() {
        let of = |args: &[&str]| plan(args).unwrap().idempotent;
        assert!(of(&["--retry"]) && of(&["--idempotent"]) && of(&["--idempotent=true"]));
        assert!(!of(&[]) && !of(&["--retry", "--idempotent=false"]));
        assert_eq!(plan(&["--retry"]).unwrap().retry, Some(Duration::from_secs(60)));
        assert!(plan(&["--patience", "5s"]).is_err());
    }

    #[test]
    fn the_key_of_the_environment_is_shown_to_the_server_and_to_nobody_else() {
        let cli = Cli::try_parse_from(["forebay-load", "run"]).unwrap();
        let Command::Run(args) = cli.command else { panic!("another command") };
        let plan = args.plan(&|name| (name == "FOREBAY_API_KEY").then(|| "k3y".to_owned())).unwrap();
        assert_eq!(plan.authorization.as_ref().unwrap(), "Bearer k3y");
        assert!(!format!("{plan:?}").contains("k3y"));
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for text in ["", "s", "-1s", "5d", "1e400s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_on_the_command_line_wins_over_the_environment() {
        let cli =
            Cli::try_parse_from(["forebay-load", "verify", "s3://b/", "--endpoint", "http://h:1"]).unwrap();
        let Command::Verify(args) = cli.command else { panic!("another command") };
        let environment =
            vec![("aws_endpoint_url".into(), "http://other".into()), ("aws_region".into(), "r".into())];
        let plan = args.plan(environment, vec![]).unwrap();
        let get =
            |name: &str| plan.options.iter().find(|(has, _)| has == name).map(|(_, value)| value.as_str());
        assert_eq!((get("aws_endpoint"), get("aws_allow_http")), (Some("http://h:1"), Some("true")));
        assert_eq!((get("aws_endpoint_url"), get("aws_region")), (None, Some("r")));
    }
}
