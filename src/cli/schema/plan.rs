//! `forebay schema plan`: another schema over the last records.

use std::io;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::candidate::Candidate;
use super::findings::{Counted, Findings};
use super::{StreamArgs, load, print, source};
use crate::cli::{Exit, Session, node_key};
use crate::config::limits::PLAN_RECORDS_DEFAULT;

/// `forebay schema plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    stream: StreamArgs,
    /// A pipeline file, whose columns and JSON Schema are tried; or a JSON Schema (*.json)
    #[arg(long, value_name = "FILE")]
    candidate: PathBuf,
    /// How many records, an even part of each shard
    #[arg(long, value_name = "N", default_value_t = PLAN_RECORDS_DEFAULT)]
    last: u64,
    /// Ask a running node [default: read the log of the node, which must be stopped]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found out.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    stream: String,
    candidate: String,
    /// Records that were looked at.
    records: u64,
    fit: u64,
    fail: u64,
    /// Failing records by where and why, the most frequent first.
    findings: Vec<Counted>,
    /// Failing records that are in none of them.
    others: u64,
}

/// Runs the command.
pub fn run(args: &PlanArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    match try_out(args, session) {
        Ok(report) => {
            if args.json {
                print::json(&report, session.out)?;
            } else {
                report.print(session.out)?;
            }
            Ok(if report.ok { Exit::Well } else { Exit::NotWell })
        }
        Err(message) => {
            writeln!(session.err, "forebay schema plan: {message}")?;
            Ok(Exit::NotWell)
        }
    }
}

fn try_out(args: &PlanArgs, session: &Session<'_>) -> Result<Report, String> {
    let StreamArgs { stream, config: node, .. } = &args.stream;
    let mut candidate =
        Candidate::read(&args.candidate, node.as_deref(), session.env).map_err(|error| error.to_string())?;
    let (mut records, mut fit, mut findings) = (0, 0, Findings::default());
    let mut look = |shard, number, record: &str| {
        records += 1;
        match candidate.judge(record) {
            Ok(()) => fit += 1,
            Err(finding) => findings.add(finding, shard, number),
        }
    };
    match &args.url {
        Some(url) => {
            let client = node_key::client_builder(session.env).map_err(|error| error.to_string())?;
            source::of_node((url, client), stream, args.last, &mut look)
                .map_err(|error| error.to_string())?;
        }
        None => {
            let (config, index) = load(&args.stream, session).map_err(|error| error.to_string())?;
            source::of_log(&config, &config.pipelines[index], args.last, &mut look)
                .map_err(|error| error.to_string())?;
        }
    }
    let others = findings.others;
    Ok(Report {
        ok: fit == records,
        stream: stream.clone(),
        candidate: args.candidate.display().to_string(),
        records,
        fit,
        fail: records - fit,
        findings: findings.sorted(),
        others,
    })
}

impl Report {
    fn print(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let Self { stream, candidate, records, fit, fail, .. } = self;
        writeln!(
            out,
            "stream {stream}: of the last {records} records, {fit} fit {candidate} and {fail} do not"
        )?;
        for Counted { pointer, expected, found, records, examples } in &self.findings {
            writeln!(out, "  {records:>8}  {pointer}: expected {expected}, got {found}")?;
            let examples: Vec<_> = examples
                .iter()
                .map(|example| format!("shard {} number {}", example.shard, example.sequence_number))
                .collect();
            writeln!(out, "            such as {}", examples.join(", "))?;
        }
        if self.others > 0 {
            writeln!(out, "  {:>8}  for other reasons", self.others)?;
        }
        Ok(())
    }
}
