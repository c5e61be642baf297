//! `forebay schema`: the columns of a stream, what has changed in them, and what other ones would do.

mod candidate;
mod findings;
mod plan;
mod print;
mod source;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use thiserror::Error;

use super::{Exit, Session};
use crate::config;
use crate::config::checked::{ColumnsSource, Config, Pipeline};
use crate::node::{NodeError, SchemaFile};
use crate::runtime::disk::RealDisk;
use crate::schema::inference::{Change, difference};
use crate::schema::registry::Version;

/// `forebay schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SchemaCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Print the columns of a stream
    Show(ShowArgs),
    /// Print what has changed between two versions of learned columns
    Diff(DiffArgs),
    /// Tell which of the last records would not fit another schema, and why
    #[command(
        after_help = "Exit codes: 0 every record would fit, 1 some would not or nothing could be looked at, 2 wrong arguments."
    )]
    Plan(plan::PlanArgs),
}

/// Where a stream is found.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// Name of the stream
    #[arg(value_name = "STREAM")]
    pub stream: String,
    /// Pipeline files, or folders of *.toml files [default: pipelines/]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The node's file [default: forebay.toml if there is one, built-in defaults otherwise]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `forebay schema show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    stream: StreamArgs,
    /// Another version than the newest
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    /// Print JSON
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print `[schema] columns` for a pipeline file
    #[arg(long)]
    toml: bool,
}

/// `forebay schema diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    stream: StreamArgs,
    /// The earlier version [default: the one before `--to`]
    #[arg(long, value_name = "NUMBER")]
    from: Option<u32>,
    /// The later version [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to print.
#[derive(Debug, Error)]
enum SchemaError {
    /// The configuration has problems.
    #[error("{0}")]
    Config(config::Problems),
    /// It has no such stream.
    #[error("no pipeline file has a stream '{stream}': there is {known}")]
    NoStream {
        /// The name that was asked for.
        stream: String,
        /// Those that there are.
        known: String,
    },
    /// Its columns are declared or derived.
    #[error("the columns of stream '{stream}' are not learned, so that they have no versions: see {file}")]
    NoVersions {
        /// The stream.
        stream: String,
        /// Its file.
        file: String,
    },
    /// There is no such version.
    #[error("stream '{stream}' has no version {number} of its columns: {known}")]
    NoVersion {
        /// The stream.
        stream: String,
        /// The version.
        number: u32,
        /// What there is.
        known: String,
    },
    /// The node's folder cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Runs the command.
pub fn run(args: SchemaArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let done = match args.command {
        SchemaCommand::Show(args) => show(&args, session),
        SchemaCommand::Diff(args) => diff(&args, session),
        SchemaCommand::Plan(args) => return plan::run(&args, session),
    };
    match done {
        Ok(printed) => printed.map(|()| Exit::Well),
        Err(error) => {
            writeln!(session.err, "forebay schema: {error}")?;
            Ok(Exit::NotWell)
        }
    }
}

fn load(args: &StreamArgs, session: &Session<'_>) -> Result<(Config, usize), SchemaError> {
    let config =
        config::load(&args.paths, args.config.as_deref(), session.env).map_err(SchemaError::Config)?;
    let index = config.pipelines.iter().position(|pipeline| pipeline.stream.name == args.stream);
    let Some(index) = index else {
        let names: Vec<_> = config.pipelines.iter().map(|pipeline| pipeline.stream.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(SchemaError::NoStream { stream: args.stream.clone(), known });
    };
    Ok((config, index))
}

/// Every version that is remembered, oldest first.
fn versions(config: &Config, pipeline: &Pipeline) -> Result<Vec<Version>, SchemaError> {
    let stream = &pipeline.stream.name;
    let Some(ColumnsSource::Inferred(_)) = pipeline.columns_source else {
        let file = pipeline.file.display().to_string();
        return Err(SchemaError::NoVersions { stream: stream.clone(), file });
    };
    Ok(SchemaFile::at(Arc::new(RealDisk), &config.node.data_dir, stream).read()?)
}

fn pick<'v>(versions: &'v [Version], number: u32, stream: &str) -> Result<&'v Version, SchemaError> {
    versions.iter().find(|version| version.number == number).ok_or_else(|| {
        let known = match (versions.first(), versions.last()) {
            (Some(first), Some(last)) => format!("there are {} to {}", first.number, last.number),
            _ => "nothing has been learned yet".to_owned(),
        };
        SchemaError::NoVersion { stream: stream.to_owned(), number, known }
    })
}

fn show(args: &ShowArgs, session: &mut Session<'_>) -> Result<io::Result<()>, SchemaError> {
    let (config, index) = load(&args.stream, session)?;
    let pipeline = &config.pipelines[index];
    let stream = &pipeline.stream.name;
    let is_learned = matches!(pipeline.columns_source, Some(ColumnsSource::Inferred(_)));
    let shown = if is_learned || args.version.is_some() {
        let versions = versions(&config, pipeline)?;
        let number = args.version.or_else(|| versions.last().map(|version| version.number));
        match number {
            Some(number) => print::Shown::of_version(stream, pick(&versions, number, stream)?),
            None => print::Shown::nothing(stream, "nothing has been learned yet".to_owned()),
        }
    } else {
        let columns = pipeline.deliveries.iter().find_map(|delivery| delivery.format.columns());
        match columns {
            Some(columns) => print::Shown::of_columns(stream, columns, print::source(pipeline)),
            None => print::Shown::nothing(stream, "no delivery has columns".to_owned()),
        }
    };
    let out = &mut *session.out;
    Ok(match (args.json, args.toml) {
        (true, _) => print::json(&shown, out),
        (_, true) => shown.print_toml(out),
        _ => shown.print(out),
    })
}

/// What `diff --json` prints.
#[derive(Debug, Serialize)]
struct Difference {
    stream: String,
    from: u32,
    to: u32,
    changes: Vec<Change>,
}

fn diff(args: &DiffArgs, session: &mut Session<'_>) -> Result<io::Result<()>, SchemaError> {
    let (config, index) = load(&args.stream, session)?;
    let pipeline = &config.pipelines[index];
    let stream = &pipeline.stream.name;
    let versions = versions(&config, pipeline)?;
    let newest = versions.last().map_or(0, |version| version.number);
    let to = args.to.unwrap_or(newest);
    let from = args.from.unwrap_or_else(|| to.saturating_sub(1));
    let none = Version::none();
    let version = |number| if number == 0 { Ok(&none) } else { pick(&versions, number, stream) };
    let changes = difference(version(from)?.columns.as_slice(), version(to)?.columns.as_slice());
    let difference = Difference { stream: stream.clone(), from, to, changes };
    let out = &mut *session.out;
    if args.json {
        return Ok(print::json(&difference, out));
    }
    Ok(print::difference(&difference.changes, (from, to), out))
}
