//! `forebay check`: reads the configuration, reports every problem of it, or what it would run.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::delivery::DeliveryReport;
use self::fan_out::FanOutReport;
use super::{Exit, Session};
use crate::config::checked::{ColumnsSource, Config, Listener, Pipeline};
use crate::config::{Problem, Size, load, node_schema, pipeline_schema, print_duration};
use crate::kafka::probe::{Finding, Severity};
use crate::schema::inference::Rules;

/// `forebay check`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 no problem, 1 problems, 2 wrong arguments.")]
pub struct CheckArgs {
    /// Pipeline files, or folders of *.toml files [default: pipelines/]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The node's file [default: forebay.toml if there is one, built-in defaults otherwise]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also ask stores and Kafka clusters whether they are there, and have what is wanted of them
    #[arg(long)]
    pub online: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of a kind of file, for editors, and check nothing
    #[arg(long, value_name = "KIND", conflicts_with_all = ["paths", "config", "online", "json"])]
    pub print_schema: Option<SchemaKind>,
}

/// The kinds of configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// A pipeline file
    Pipeline,
    /// forebay.toml
    Forebay,
}

/// Runs the command.
pub fn run(args: CheckArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    if let Some(kind) = args.print_schema {
        let schema = match kind {
            SchemaKind::Pipeline => pipeline_schema(),
            SchemaKind::Forebay => node_schema(),
        };
        print_json(&schema, session.out)?;
        return Ok(Exit::Well);
    }
    let loaded = load(&args.paths, args.config.as_deref(), session.env);
    let findings = match &loaded {
        Ok(config) if args.online => Some(online::look(config)?),
        _ => None,
    };
    let (exit, report) = match &loaded {
        Ok(config) => Report::of(config, findings.as_deref()),
        Err(problems) => (Exit::NotWell, Report::of_problems(problems.as_slice())),
    };
    if args.json {
        print_json(&report, session.out)?;
    } else {
        report.print(session.out)?;
    }
    Ok(exit)
}

fn print_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// What `--json` prints. Nothing secret is in it: the URLs of sinks have no credentials, and options are left out.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeReport<'a>>,
    streams: Vec<StreamReport<'a>>,
    /// What works, but perhaps not as is expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What was found by asking; missing where nobody was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<&'a [Finding]>,
}

#[derive(Debug, Serialize)]
struct NodeReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    listen: String,
    listeners: Vec<String>,
    /// The main place of the admin port, and all places.
    admin: String,
    admin_listeners: Vec<String>,
    data_dir: String,
    memory_budget_bytes: u64,
    log_segment_bytes: u64,
    log_writer: &'static str,
}

#[derive(Debug, Serialize)]
struct StreamReport<'a> {
    name: &'a str,
    file: String,
    shards: u32,
    durability: &'static str,
    retention_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_bytes: Option<u64>,
    idempotency_window_ms: u128,
    validated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference: Option<InferenceReport>,
    deliveries: Vec<DeliveryReport<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fan_outs: Vec<FanOutReport<'a>>,
}

#[derive(Debug, Serialize)]
struct InferenceReport {
    on_conflict: &'static str,
    columns_max: usize,
}

impl<'a> Report<'a> {
    fn of_problems(problems: &'a [Problem]) -> Self {
        Self { ok: false, problems, node: None, streams: Vec::new(), warnings: Vec::new(), online: None }
    }

    fn of(config: &'a Config, online: Option<&'a [Finding]>) -> (Exit, Self) {
        let node = &config.node;
        let is_problem = |finding: &Finding| finding.severity == Severity::Problem;
        let ok = !online.is_some_and(|findings| findings.iter().any(is_problem));
        let report = Self {
            ok,
            online,
            problems: &[],
            node: Some(NodeReport {
                name: node.name.as_deref(),
                listen: node.server.listen.to_string(),
                listeners: node.server.listeners.iter().map(shown).collect(),
                admin: node.server.admin.first().map(|main| main.at.to_string()).unwrap_or_default(),
                admin_listeners: node.server.admin.iter().map(shown).collect(),
                data_dir: node.data_dir.display().to_string(),
                memory_budget_bytes: node.memory_budget_bytes,
                log_segment_bytes: node.log.segment_bytes,
                log_writer: node.log.writer.as_str(),
            }),
            streams: config.pipelines.iter().map(StreamReport::of).collect(),
            warnings: warnings::of(config),
        };
        (if ok { Exit::Well } else { Exit::NotWell }, report)
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for problem in self.problems {
            writeln!(out, "{problem}")?;
        }
        for stream in &self.streams {
            stream.print(out)?;
        }
        if let Some(node) = &self.node {
            node.print(out)?;
            for warning in &self.warnings {
                writeln!(out, "warning: {warning}")?;
            }
            for finding in self.online.unwrap_or_default() {
                writeln!(out, "{finding}")?;
            }
            if !self.ok {
                return writeln!(out, "not everything is there that the configuration wants");
            }
            let deliveries =
                self.streams.iter().map(|stream| stream.deliveries.len() + stream.fan_outs.len()).sum();
            return writeln!(
                out,
                "ok: {}, {}",
                counted(self.streams.len(), "stream", "streams"),
                counted(deliveries, "delivery", "deliveries")
            );
        }
        writeln!(out, "{}", counted(self.problems.len(), "problem", "problems"))
    }
}

/// Where a listener is, and what is spoken there.
fn shown(listener: &Listener) -> String {
    let scheme = if listener.tls.is_some() { "HTTPS" } else { "HTTP" };
    format!("{scheme} on {}", listener.at)
}

impl NodeReport<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { admin, data_dir, .. } = self;
        let listeners = self.listeners.join(", ");
        let others = self.admin_listeners.iter().skip(1).map(|other| format!(" and {other}"));
        let others: String = others.collect();
        let name = self.name.map(|name| format!(" {name}")).unwrap_or_default();
        let (budget, segment) = (Size(self.memory_budget_bytes), Size(self.log_segment_bytes));
        writeln!(
            out,
            "node{name}: {listeners}, admin on {admin}{others}, data in {data_dir}, memory budget {budget}, log segments of {segment}"
        )
    }
}

impl<'a> StreamReport<'a> {
    fn of(pipeline: &'a Pipeline) -> Self {
        let stream = &pipeline.stream;
        Self {
            name: &stream.name,
            file: pipeline.file.display().to_string(),
            shards: stream.shards,
            durability: stream.durability.as_str(),
            retention_ms: stream.retention.as_millis(),
            retention_bytes: stream.retention_bytes,
            idempotency_window_ms: stream.idempotency_window.as_millis(),
            validated: pipeline.ingest.schema.is_some(),
            inference: match pipeline.columns_source {
                Some(ColumnsSource::Inferred(Rules { on_conflict, columns_max })) => {
                    Some(InferenceReport { on_conflict: on_conflict.as_str(), columns_max })
                }
                _ => None,
            },
            deliveries: pipeline
                .deliveries
                .iter()
                .map(|delivery| DeliveryReport::of(delivery, pipeline.columns_source))
                .collect(),
            fan_outs: pipeline.fan_outs.iter().map(FanOutReport::of).collect(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { name, file, durability, .. } = self;
        let retention = printed(self.retention_ms);
        let or_bytes = self.retention_bytes.map(|bytes| format!(" or {}", Size(bytes))).unwrap_or_default();
        let shards = counted(self.shards as usize, "shard", "shards");
        let schema = if self.validated { "JSON Schema" } else { "no JSON Schema" };
        writeln!(
            out,
            "stream {name} ({file}): {shards}, durability {durability}, retention {retention}{or_bytes}, {schema}"
        )?;
        if let Some(InferenceReport { on_conflict, columns_max }) = &self.inference {
            writeln!(
                out,
                "  columns are learned from the records, at most {columns_max}; what does not fit its column: {on_conflict}; \
                 see `forebay schema show {name}`"
            )?;
        }
        for delivery in &self.deliveries {
            delivery.print(out)?;
        }
        for fan_out in &self.fan_outs {
            fan_out.print(out)?;
        }
        Ok(())
    }
}

fn printed(millis: u128) -> String {
    print_duration(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

mod delivery;
mod fan_out;
mod online;
#[cfg(test)]
mod tests;
mod warnings;
