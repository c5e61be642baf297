//! `forebay verify`: proves from ledgers, log and objects that nothing is missing, doubled or out of order, or names
//! what is.

pub(super) mod display;
mod functions;
mod kafka;
mod positions;
mod print;
mod shared;
mod topic;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use thiserror::Error;

use self::display::Display;
use self::kafka::Local;
use self::positions::FanOutReport;
use super::{Exit, Session};
use crate::config;
use crate::config::checked::{Config, Pipeline};
use crate::delivery::verify::{
    self, DeliveryReport, Evidence, Progress as _, RecordSource, Sorter, StoredLog,
};
use crate::edge::aws::firehose::registry::{DeliveryStreams, LoadError};
use crate::function::balance::FunctionReport;
use crate::node::{Catalog, NodeError, NodeFolder};
use crate::pipeline::{StartError, made_by_clients};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::progress;
use crate::runtime::scratch_disk::ScratchDisk;
use crate::stream::wal::journals::{Content, Setting};
use crate::telemetry::logging;

/// `forebay verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "The server must be stopped. Nothing is changed.\nExit codes: 0 everything is where it must be, 1 something is not, 2 wrong arguments."
)]
pub struct VerifyArgs {
    /// Pipeline files, or folders of *.toml files [default: pipelines/]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The node's file [default: forebay.toml if there is one, built-in defaults otherwise]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look up objects without reading them, and count records from where the delivery is
    #[arg(long)]
    pub quick: bool,
    /// Ask no Kafka brokers: of streams in Kafka, compare ledgers and objects with each other only
    #[arg(long)]
    pub offline: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why nothing can be verified.
#[derive(Debug, Error)]
enum VerifyError {
    /// The node's folder cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// What clients have made cannot be told.
    #[error(transparent)]
    DeliveryStreams(#[from] LoadError),
    /// The same.
    #[error(transparent)]
    Streams(#[from] StartError),
    /// The threads that ask stores cannot be started.
    #[error("cannot start a thread: {0}")]
    Runtime(#[from] io::Error),
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether everything is where it must be.
    ok: bool,
    /// Why the log cannot be read, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_error: Option<String>,
    /// Deliveries of durable streams.
    deliveries: Vec<DeliveryReport>,
    /// Deliveries into Kafka.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fan_outs: Vec<FanOutReport>,
    /// Functions that records go through on their way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    functions: Vec<FunctionReport>,
    /// What was not looked at.
    notes: Vec<String>,
}

/// How to verify.
struct Means<'a, 'd> {
    runtime: &'a tokio::runtime::Runtime,
    display: &'a Display<'d>,
    quick: bool,
    offline: bool,
}

impl Report {
    fn judge(&mut self) {
        self.ok = self.log_error.is_none()
            && self.deliveries.iter().all(DeliveryReport::is_well)
            && self.fan_outs.iter().all(FanOutReport::is_well)
            && self.functions.iter().all(FunctionReport::is_well);
    }
}

/// Runs the command.
pub fn run(args: VerifyArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    logging::start(Some((session.env)("FOREBAY_LOG").as_deref().unwrap_or("error")), false);
    let mut config = match config::load(&args.paths, args.config.as_deref(), session.env) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(session.err, "{problems}")?;
            return Ok(Exit::NotWell);
        }
    };
    // The object stores' client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let report = match verify_node(&mut config, (args.quick, args.offline), &Display::new(session.err)) {
        Ok(report) => report,
        Err(error) => {
            writeln!(session.err, "forebay verify: {error}")?;
            return Ok(Exit::NotWell);
        }
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *session.out, &report)?;
        writeln!(session.out)?;
    } else {
        report.print(session.out)?;
    }
    Ok(if report.ok { Exit::Well } else { Exit::NotWell })
}

fn verify_node(
    config: &mut Config,
    (quick, offline): (bool, bool),
    display: &Display<'_>,
) -> Result<Report, VerifyError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let means = Means { runtime: &runtime, display, quick, offline };
    let delivery_streams = DeliveryStreams::load(config)?;
    let durable = |pipeline: &&Pipeline| pipeline.stream.durability.is_durable();
    let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), &config.node.data_dir);
    if !config.pipelines.iter().any(|pipeline| durable(&pipeline)) && !NodeFolder::is_begun(&*disk, path) {
        return Ok(verify_elsewhere(config, &means));
    }
    // Held to the end: nobody writes meanwhile.
    let folder = NodeFolder::open_existing_for_reading(disk, path)?;
    let catalog = Catalog::open(&folder)?;
    let waiting = add_made_by_clients(config, &catalog, &delivery_streams)?;
    let config = &*config;
    let mut report = Report { notes: left_out(config, &folder, &catalog)?, ..Report::default() };
    report.notes.extend(waiting);
    display.begin("reading the log", 0);
    let content = match read_log(config, &folder) {
        Ok(content) => Some(content),
        Err(error) => {
            report.log_error = Some(error);
            None
        }
    };
    for pipeline in config.pipelines.iter().filter(durable) {
        let Some(stream) = catalog.stream(&pipeline.stream.name) else {
            report.notes.push(format!("stream '{}' has taken no record yet", pipeline.stream.name));
            continue;
        };
        let log = content.as_ref().map(|content| StoredLog::new(stream, content));
        for delivery in &pipeline.deliveries {
            display.of(&stream.name, &delivery.name);
            let scratch: Arc<dyn Disk> = Arc::new(ScratchDisk::over(Arc::clone(folder.disk())));
            let evidence = Evidence {
                disk: &*scratch,
                ledger: &folder.ledger(&stream.name, &delivery.name),
                log: log.as_ref().map(|log| log as &dyn RecordSource),
                epochs: &mut Sorter::new(&stream.name, delivery, Arc::clone(&scratch)),
                quick,
                progress: display,
            };
            report.deliveries.push(runtime.block_on(verify::verify(&stream.name, &delivery.name, evidence)));
        }
    }
    shared::verify_all(config, &means, &mut report);
    kafka::verify_alone(config, &folder, &means, &mut report);
    let local = Local { folder: &folder, catalog: &catalog, content: content.as_ref() };
    kafka::verify_fan_outs(config, Some(&local), &means, &mut report);
    display.end();
    if let Some(content) = &content {
        for transformation in delivery_streams.transformations() {
            report.functions.extend(functions::verify(
                &transformation,
                (&folder, &config.node.data_dir),
                &catalog,
                content,
            )?);
        }
    }
    report.judge();
    Ok(report)
}

/// What can be verified of a node that keeps nothing on this machine.
fn verify_elsewhere(config: &Config, means: &Means<'_, '_>) -> Report {
    let mut report = Report::default();
    let in_kafka = |pipeline: &Pipeline| pipeline.stream.log.kafka().is_some();
    if config.pipelines.iter().any(in_kafka) {
        shared::verify_all(config, means, &mut report);
        kafka::verify_fan_outs(config, None, means, &mut report);
        means.display.end();
    } else {
        report.notes.push("no stream is durable: there is nothing to verify".to_owned());
    }
    report.judge();
    report
}

/// Adds the streams that clients have made and that delivery streams read. Returns which of these have no source.
fn add_made_by_clients(
    config: &mut Config,
    catalog: &Catalog,
    delivery_streams: &DeliveryStreams,
) -> Result<Vec<String>, VerifyError> {
    let mut made = made_by_clients(catalog, &config.node)?;
    delivery_streams.attach_to_made(&mut made)?;
    config.pipelines.extend(made.into_iter().filter(|pipeline| !pipeline.deliveries.is_empty()));
    let all = delivery_streams.all();
    let waiting = all.iter().filter(|entry| !entry.is_running).map(|entry| &entry.delivery_stream.name);
    Ok(waiting.map(|name| format!("delivery stream '{name}' has no source here: not verified")).collect())
}

/// Reads the log as a start does, but keeps to itself what a start would repair.
fn read_log(config: &Config, folder: &NodeFolder) -> Result<Content, String> {
    let setting = Setting {
        disk: Arc::new(ScratchDisk::over(Arc::clone(folder.disk()))),
        folder: folder.log(),
        node: folder.id().as_u64().to_be_bytes(),
        segment_bytes: config.node.log.segment_bytes,
        writer: config.node.log.writer,
        accept_damage: false,
        replies_since: UnixMicros(i64::MAX),
    };
    Content::read(&setting, &progress::Progress::default()).map_err(|error| error.to_string())
}

/// Streams and deliveries of the folder that the configuration does not name.
fn left_out(config: &Config, folder: &NodeFolder, catalog: &Catalog) -> Result<Vec<String>, NodeError> {
    let mut notes = Vec::new();
    for stream in catalog.streams() {
        let name = &stream.name;
        let Some(pipeline) = config.pipelines.iter().find(|pipeline| pipeline.stream.name == *name) else {
            notes.push(format!("stream '{name}' is in no pipeline file: not verified"));
            continue;
        };
        for path in folder.ledgers(name)? {
            let Some(delivery) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !pipeline.deliveries.iter().any(|known| known.name == delivery) {
                let file = pipeline.file.display();
                notes
                    .push(format!("delivery '{delivery}' of stream '{name}' is not in {file}: not verified"));
            }
        }
    }
    Ok(notes)
}
