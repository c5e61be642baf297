//! `forebay dlq replay`: payloads of dead letters → a running node, each once.
//!
//! ```text
//! letters of a file ──▶ window ──▶ requests ──▶ journal: intent ──▶ node ──▶ journal: sent, or void
//!    └── sent before, or come back too often: left out
//! ```
//! Whatever ends it, the next run knows what was sent: a request without a known answer is sent again as it was, under
//! the same idempotency key.

mod client;
mod journal;
mod rows;
mod run;
mod tally;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use self::client::{Client, ClientError};
use self::journal::{Journal, JournalError};
use self::run::{Options, Replay};
use super::{ReplayArgs, Task};
use crate::cli::Exit;
use crate::cli::verify::display::Display;
use crate::config::checked::Config;
use crate::delivery::dead_letters::{DeadFile, Visitor};
use crate::delivery::verify::Progress as _;
use crate::runtime::disk::{Disk, RealDisk};

/// Name of the journal in the node's folder.
const JOURNAL: &str = "dlq-replay.journal";

/// Why a replay does not begin, or does not go on.
#[derive(Debug, Error)]
enum ReplayError {
    /// Records of several deliveries are meant.
    #[error(
        "dead letters of stream '{stream}' are from the deliveries {deliveries}: choose one with --delivery, \
         because a record that has failed in more than one would be sent more than once"
    )]
    Ambiguous {
        /// The stream.
        stream: String,
        /// Their names.
        deliveries: String,
    },
    /// The node's address is not known.
    #[error("the node listens on a port that it is given by the system: name its address with --url")]
    NoPort,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The node.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Writing the output.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl ReplayError {
    fn exit(&self) -> Exit {
        match self {
            ReplayError::Ambiguous { .. }
            | ReplayError::NoPort
            | ReplayError::Client(ClientError::Url(_) | ClientError::Key(_)) => Exit::Usage,
            _ => Exit::NotWell,
        }
    }
}

/// Sends them.
pub fn run(task: Task<'_>, args: &ReplayArgs) -> io::Result<Exit> {
    let Task { config, filter, found, runtime, patience, env, out, err } = task;
    let prepared = prepare(&config, &found.files, args, env);
    let (client, mut log) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            writeln!(err, "forebay dlq replay: {error}")?;
            return Ok(error.exit());
        }
    };
    let display = Display::new(err);
    let total = found.files.iter().filter_map(|file| file.records).sum();
    display.begin(if args.dry_run { "reading dead letters" } else { "sending dead letters" }, total);
    let mut visitor = Visitor::new(&filter, &patience);
    let mut replay = Replay::new(&client, &config, Options::of(args), runtime.handle());
    let mut stopped = None;
    for file in &found.files {
        if let Err(error) = replay.file(file, &mut visitor, &mut log, &display) {
            stopped = Some(error);
            break;
        }
        if replay.is_cut() {
            break;
        }
    }
    display.end();
    let tally = replay.into_tally();
    tally.print(args.dry_run, client.base(), out)?;
    visitor.print(&found.notes, out)?;
    if let Some(error) = stopped {
        writeln!(err, "forebay dlq replay: stopped: {error}")?;
        return Ok(error.exit());
    }
    Ok(if tally.is_complete() && visitor.is_well() { Exit::Well } else { Exit::NotWell })
}

/// Where it is noted what is sent; a dry run only looks.
enum Log {
    Real(Journal),
    Dry(journal::Known),
}

fn prepare(
    config: &Config,
    files: &[DeadFile],
    args: &ReplayArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Client, Log), ReplayError> {
    check_deliveries(files)?;
    let base = match &args.url {
        Some(url) => url.clone(),
        None => config.node.server.url().ok_or(ReplayError::NoPort)?,
    };
    let client = Client::new(&base, env)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let path: PathBuf = args.journal.clone().unwrap_or_else(|| config.node.data_dir.join(JOURNAL));
    let log = match args.dry_run {
        true => Log::Dry(Journal::look_at(&*disk, &path)?),
        false => Log::Real(Journal::open(&*disk, &path)?),
    };
    Ok((client, log))
}

/// A record that two deliveries could not deliver is one record.
fn check_deliveries(files: &[DeadFile]) -> Result<(), ReplayError> {
    let mut deliveries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        let known = deliveries.entry(&file.stream).or_default();
        if !known.contains(&file.delivery.as_str()) {
            known.push(&file.delivery);
        }
    }
    match deliveries.into_iter().find(|(_, deliveries)| deliveries.len() > 1) {
        Some((stream, deliveries)) => {
            Err(ReplayError::Ambiguous { stream: stream.to_owned(), deliveries: deliveries.join(", ") })
        }
        None => Ok(()),
    }
}
