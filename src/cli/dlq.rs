//! `forebay dlq`: what could not be delivered, listed, shown and sent again.
//!
//! Where the files are is read from the ledgers, as `forebay verify` does, or from the error prefix in the sink for
//! streams that have none. The node may run meanwhile. It answers the same letters itself, to whoever may read them
//! (`GET /v1/streams/{stream}/dead_letters`); what is sent again is sent from here, where the journal is.

mod filter;
mod find;
mod ls;
mod replay;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::filter::filter_of;
use self::find::Found;
use super::{Exit, Session};
use crate::config;
use crate::config::checked::Config;
use crate::delivery::dead_letters::{Filter, Patience};
#[cfg(debug_assertions)]
use crate::runtime::crash_point;
use crate::telemetry::logging;

/// `forebay dlq`.
#[derive(Debug, Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Count dead letters by stream, delivery and reason
    #[command(
        after_help = "The node may be running. Nothing is changed.\nWho has no configuration here asks the node: GET /v1/streams/STREAM/dead_letters, and /summary behind it.\nExit codes: 0 everything could be read, 1 something could not, 2 wrong arguments."
    )]
    Ls(LsArgs),
    /// Print dead letters with their payloads
    #[command(
        after_help = "The node may be running. Nothing is changed.\nWho has no configuration here asks the node: GET /v1/streams/STREAM/dead_letters, and /summary behind it.\nExit codes: 0 everything could be read, 1 something could not, 2 wrong arguments."
    )]
    Show(ShowArgs),
    /// Send the payloads of dead letters to a running node again, each once
    #[command(
        after_help = "A journal remembers what was sent, so that the same command goes on where it stopped and sends nothing twice.\nExit codes: 0 everything that was selected is sent, 1 something was refused, failed or was left out, 2 wrong arguments.\nFOREBAY_API_KEY in the environment: the key that is shown to a node that asks for one."
    )]
    Replay(ReplayArgs),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub struct Selection {
    /// Pipeline files, or folders of *.toml files [default: pipelines/]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The node's file [default: forebay.toml if there is one, built-in defaults otherwise]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only those of this stream
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Only those of this delivery
    #[arg(long, value_name = "NAME")]
    pub delivery: Option<String>,
    /// Only those with this reason code; may be given several times
    #[arg(long, value_name = "CODE")]
    pub reason: Vec<String>,
    /// Only records that arrived at this time or later: RFC 3339, a date, or a duration ago such as 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only records that arrived before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only letters whose payload or message matches this regular expression
    #[arg(long, value_name = "REGEX")]
    pub grep: Option<String>,
    /// Look below the error prefix of each sink instead of into the ledgers: finds older files as well
    #[arg(long)]
    pub list: bool,
}

/// `forebay dlq ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Which.
    #[command(flatten)]
    pub selection: Selection,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay dlq show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which.
    #[command(flatten)]
    pub selection: Selection,
    /// How many are printed; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub limit: u64,
    /// Print a JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `forebay dlq replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Which.
    #[command(flatten)]
    pub selection: Selection,
    /// Where the node listens [default: the address in its configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Send to this stream instead of the letter's own
    #[arg(long, value_name = "STREAM")]
    pub to: Option<String>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Records a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Records that are sent at most, besides those of requests that an earlier run has begun
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Where it is remembered what was sent [default: dlq-replay.journal in the node's data_dir]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Send also what was sent before
    #[arg(long)]
    pub again: bool,
    /// How often a record is sent again that comes back as a dead letter
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,
}

/// `forebay dlq`.
pub fn run(args: DlqArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    match args.command {
        DlqCommand::Ls(args) => {
            let LsArgs { selection, json } = args;
            with(&selection, session, |task| ls::run(task, json))
        }
        DlqCommand::Show(args) => {
            let ShowArgs { selection, limit, json } = args;
            with(&selection, session, |task| show::run(task, limit, json))
        }
        DlqCommand::Replay(args) => {
            let ReplayArgs { selection, .. } = &args;
            with(selection, session, |task| replay::run(task, &args))
        }
    }
}

/// What every command starts from.
struct Task<'a> {
    config: Config,
    filter: Filter,
    found: Found,
    runtime: &'a tokio::runtime::Runtime,
    patience: Patience,
    env: &'a dyn Fn(&str) -> Option<String>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

fn with(
    selection: &Selection,
    session: &mut Session<'_>,
    run: impl FnOnce(Task<'_>) -> io::Result<Exit>,
) -> io::Result<Exit> {
    logging::start((session.env)("FOREBAY_LOG").as_deref(), true);
    #[cfg(debug_assertions)]
    if let Some(text) = (session.env)(crash_point::VARIABLE)
        && let Err(error) = crash_point::armed::arm(&text)
    {
        writeln!(session.err, "forebay dlq: {error}")?;
        return Ok(Exit::Usage);
    }
    let filter = match filter_of(selection) {
        Ok(filter) => filter,
        Err(error) => {
            writeln!(session.err, "forebay dlq: {error}")?;
            return Ok(Exit::Usage);
        }
    };
    let config = match config::load(&selection.paths, selection.config.as_deref(), session.env) {
        Ok(config) => config,
        Err(problems) => {
            writeln!(session.err, "{problems}")?;
            return Ok(Exit::NotWell);
        }
    };
    // The object stores' client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let patience = Patience::without_end(runtime.handle());
    let found = match find::find(&config, &filter, selection.list, &patience) {
        Ok(found) => found,
        Err(error) => {
            writeln!(session.err, "forebay dlq: {error}")?;
            return Ok(if error.is_usage() { Exit::Usage } else { Exit::NotWell });
        }
    };
    let (env, out, err) = (session.env, &mut *session.out, &mut *session.err);
    run(Task { config, filter, found, runtime: &runtime, patience, env, out, err })
}
