//! `forebay serve`: run every pipeline until a signal comes, then drain.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

use super::reload::{self, Files, Wishes};
use super::start::{self, Built};
use super::stop::Stop;
use super::{Exit, ServeArgs, Session};
use crate::config::checked::{Config, Listener};
use crate::config::print_duration;
use crate::delivery::StatusReport;
use crate::edge::listen::ListenError;
use crate::pipeline::reload::Asked;
use crate::pipeline::{Pipelines, StartError};
#[cfg(debug_assertions)]
use crate::runtime::crash_point;
use crate::runtime::tasks::Tasks;
use crate::telemetry::admin::{self, Operators};
use crate::telemetry::logging;

/// How often streams forget and histograms settle.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// How often the files of certificates are looked at: a change counts once they have rested from one look to the next, so
/// that a certificate and its key may come one after the other.
const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(2);

/// Why serving has failed.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A stage could not be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An address of the admin port cannot be bound.
    #[error("the admin port: {0}")]
    Admin(ListenError),
    /// The runtime of the main thread or its signal handlers cannot be set up.
    #[error("cannot set up the main thread: {0}")]
    Runtime(#[from] io::Error),
}

/// `forebay serve`.
pub fn run(args: ServeArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    // Text for people at a terminal, JSON lines for everything else.
    let json = !io::stderr().is_terminal();
    logging::start((session.env)("FOREBAY_LOG").as_deref(), json);
    #[cfg(debug_assertions)]
    if let Some(text) = (session.env)(crash_point::VARIABLE)
        && let Err(error) = crash_point::armed::arm(&text)
    {
        writeln!(session.err, "forebay serve: {error}")?;
        return Ok(Exit::Usage);
    }
    let files = Files { paths: args.paths, config: args.config, env: session.env };
    let config = match files.load() {
        Ok(config) => config,
        Err(problems) => {
            writeln!(session.err, "{problems}")?;
            return Ok(Exit::NotWell);
        }
    };
    // The object stores' client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match serve((config, &files), args.accept_damage, session.out) {
        Ok(exit) => Ok(exit),
        Err(error) => {
            writeln!(session.err, "forebay serve: {error}")?;
            Ok(Exit::NotWell)
        }
    }
}

/// Runs until SIGTERM or SIGINT, then drains. What a user reads goes to `out`.
fn serve(
    (config, files): (Config, &Files<'_>),
    accept_damage: bool,
    out: &mut dyn Write,
) -> Result<Exit, ServeError> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pipelines = Arc::new(Pipelines::listen(&config)?);
    let exit = runtime.block_on(run_until_stopped((config, files), accept_damage, &pipelines, out));
    // Whatever has ended it, the edge does not stay behind. Outside the runtime of this thread, because it blocks.
    pipelines.drain();
    // Without waiting for a drain, or a recovery, that was given up.
    runtime.shutdown_background();
    exit
}

async fn run_until_stopped(
    (config, files): (Config, &Files<'_>),
    accept_damage: bool,
    pipelines: &Arc<Pipelines>,
    out: &mut dyn Write,
) -> Result<Exit, ServeError> {
    let mut stop = Stop::new()?;
    let (mut wishes, ask) = Wishes::new()?;
    let banner = Banner::of(&config);
    let tasks = Tasks::new();
    let admin =
        serve_admin(&config.node.server.admin, (pipelines, ask), &tasks).map_err(ServeError::Admin)?;
    tasks.spawn(every(HOUSEKEEPING_INTERVAL, Arc::clone(pipelines), Pipelines::housekeeping));
    tasks.spawn(every(CERTIFICATES_INTERVAL, Arc::clone(pipelines), Pipelines::look_at_certificates));
    pipelines.export(&config.node).await;
    tracing::info!(listen = %pipelines.address(), admin = admin.join(", "), "starting");

    let building = tokio::task::spawn_blocking({
        let pipelines = Arc::clone(pipelines);
        move || pipelines.build(config, accept_damage)
    });
    let signal = match start::wait(building, &pipelines.phases, stop.next()).await? {
        Built::Serving => None,
        Built::ServingBut { signal } => Some(signal),
        Built::Stopped { signal } => {
            tracing::info!(signal, "stopped while starting: nothing was accepted");
            return Ok(Exit::Well);
        }
    };
    banner.print(pipelines, &admin, out);
    tracing::info!(listen = %pipelines.address(), admin = admin.join(", "), "serving");

    let signal = match signal {
        Some(signal) => signal,
        None => loop {
            tokio::select! {
                signal = stop.next() => break signal,
                asked = wishes.next() => tokio::select! {
                    // What is under way goes on to its end, and is drained.
                    signal = stop.next() => break signal,
                    () = reload::reload(files, pipelines, asked) => {}
                },
            }
        },
    };
    tracing::info!(signal, "stopping: answering what is in flight, then closing and uploading open files");
    crate::crash_point!("drain.begin");
    let draining = tokio::task::spawn_blocking({
        let pipelines = Arc::clone(pipelines);
        move || pipelines.drain()
    });
    let reports = tokio::select! {
        reports = draining => {
            pipelines.exported().await;
            reports.unwrap_or_else(|_| pipelines.reports())
        }
        _ = stop.next() => {
            tracing::error!("second signal: giving up the drain");
            pipelines.reports()
        }
    };
    Ok(report(&reports, out))
}

/// Has the admin port served at all its places by `tasks`. Returns them as URLs.
fn serve_admin(
    places: &[Listener],
    (pipelines, ask): (&Arc<Pipelines>, mpsc::Sender<Asked>),
    tasks: &Tasks,
) -> Result<Vec<String>, ListenError> {
    let listeners = admin::bind(places)?;
    pipelines.watch_admin(listeners.doors());
    let (places, connections) = (listeners.places(), Tasks::new());
    let operators = Operators::new(Arc::clone(pipelines), ask);
    for place in listeners.alone()? {
        tasks.spawn(operators.clone().serve(place, connections.clone()));
    }
    Ok(places)
}

/// Has something looked after so often.
async fn every(interval: Duration, pipelines: Arc<Pipelines>, look_after: fn(&Pipelines)) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        let pipelines = Arc::clone(&pipelines);
        // It writes to the disk, and may wait for deliveries: this thread answers probes meanwhile.
        match tokio::task::spawn_blocking(move || look_after(&pipelines)).await {
            Ok(()) => {}
            Err(error) if error.is_cancelled() => return,
            Err(error) => tracing::error!(%error, "housekeeping has broken off, and is tried again"),
        }
    }
}

/// Each connection is a file descriptor, and many systems allow a process 1,024 of them unless it asks for more.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, ?maximum, "cannot raise the limit of open files");
    }
}

/// What a new user needs to know: where to send and where to look.
struct Banner {
    streams: Vec<(String, Vec<String>)>,
}

impl Banner {
    fn of(config: &Config) -> Self {
        let sinks = |pipeline: &crate::config::checked::Pipeline| {
            let delivery = |delivery: &crate::config::checked::Delivery| {
                let interval = print_duration(delivery.buffer.interval);
                format!("{}: {} (a file at most every {interval})", delivery.name, delivery.sink.url)
            };
            let fan_out = |fan_out: &crate::config::checked::FanOut| {
                let sink = &fan_out.sink;
                format!(
                    "{}: topic {} of Kafka cluster {}",
                    fan_out.name,
                    sink.topic.as_str(),
                    sink.cluster.label()
                )
            };
            let files = pipeline.deliveries.iter().map(delivery);
            (pipeline.stream.name.clone(), files.chain(pipeline.fan_outs.iter().map(fan_out)).collect())
        };
        Self { streams: config.pipelines.iter().map(sinks).collect() }
    }

    fn print(&self, pipelines: &Pipelines, admin: &[String], out: &mut dyn Write) {
        fn split(places: &[String]) -> (&str, &[String]) {
            places.split_first().map_or(("", &[][..]), |(main, others)| (main.as_str(), others))
        }
        let ((main, others), (admin, admin_others)) = (split(pipelines.places()), split(admin));
        let mut text = format!("forebay {} listens on {main}, admin on {admin}\n", env!("CARGO_PKG_VERSION"));
        let admin_others = admin_others.iter().map(|place| format!("admin on {place}"));
        let others: Vec<String> = others.iter().cloned().chain(admin_others).collect();
        if !others.is_empty() {
            text.push_str(&format!("  and on {}\n", others.join(", ")));
        }
        const STREAMS_SHOWN: usize = 10;
        for (stream, sinks) in self.streams.iter().take(STREAMS_SHOWN) {
            text.push_str(&format!("  stream {stream}\n"));
            for sink in sinks {
                text.push_str(&format!("    -> {sink}\n"));
            }
        }
        if self.streams.len() > STREAMS_SHOWN {
            text.push_str(&format!("  and {} streams more\n", self.streams.len() - STREAMS_SHOWN));
        }
        if let Some((stream, _)) = self.streams.first() {
            let sample = format!("pipelines/samples/{stream}.ndjson");
            let body = match Path::new(&sample).exists() {
                true => format!("-H 'Content-Type: application/x-ndjson' --data-binary @{sample}"),
                false => "-H 'Content-Type: application/json' -d '{\"hello\":\"world\"}'".to_owned(),
            };
            text.push_str(&format!(
                "try:\n  curl -s {main}/v1/streams/{stream}/records {body}\n  curl -s '{main}/v1/streams/{stream}/records?from=earliest&limit=2'\n\
                 stop with Ctrl-C: open files are then closed and stored\n"
            ));
        }
        // A closed terminal must not keep the server from running.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Prints the balance of each delivery. What a stream keeps over a restart is not lost by being pending.
fn report(reports: &[StatusReport], out: &mut dyn Write) -> Exit {
    let mut text = String::from("drained:\n");
    let mut exit = Exit::Well;
    for report in reports {
        let StatusReport { stream, delivery, pending, durable, .. } = report;
        text.push_str(&format!("  {}\n", Balance(report)));
        match (pending, durable) {
            (0, _) => {}
            (_, true) => {
                text.push_str(&format!(
                    "    {pending} records stay in the log and are delivered after the next start\n"
                ));
                tracing::warn!(
                    stream,
                    delivery,
                    pending,
                    "records stay in the log and are delivered after the next start"
                );
            }
            (_, false) => {
                exit = Exit::Undelivered;
                tracing::error!(
                    stream,
                    delivery,
                    pending,
                    "records were not delivered; with durability memory they are lost"
                );
            }
        }
    }
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    exit
}

/// The balance of a delivery as an equation. Terms that are nothing on most days stand there only if they are
/// something.
struct Balance<'a>(&'a StatusReport);

impl fmt::Display for Balance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StatusReport {
            stream,
            delivery,
            accepted,
            backlog,
            delivered,
            dead_lettered,
            skipped,
            passed,
            pending,
            ..
        } = self.0;
        write!(f, "{stream}/{delivery}: accepted {accepted}")?;
        if *backlog > 0 {
            write!(f, " + {backlog} from before")?;
        }
        write!(f, " = delivered {delivered} + dead-lettered {dead_lettered}")?;
        if *skipped > 0 {
            write!(f, " + gone from the log {skipped}")?;
        }
        if *passed > 0 {
            write!(f, " + passed over {passed}")?;
        }
        write!(f, " + pending {pending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(durable: bool, backlog: u64, skipped: u64, pending: u64) -> StatusReport {
        StatusReport {
            stream: "s".into(),
            delivery: "d".into(),
            durable,
            accepted: 10,
            backlog,
            delivered: 10 + backlog - 2 - skipped - pending,
            dead_lettered: 2,
            skipped,
            passed: 0,
            pending,
            paused: None,
        }
    }

    fn printed(report: StatusReport) -> (String, Exit) {
        let mut out = Vec::new();
        let exit = super::report(&[report], &mut out);
        (String::from_utf8(out).unwrap(), exit)
    }

    #[test]
    fn the_report_is_an_equation_of_the_terms_that_there_are() {
        let (text, exit) = printed(balance(true, 0, 0, 0));
        assert_eq!(text, "drained:\n  s/d: accepted 10 = delivered 8 + dead-lettered 2 + pending 0\n");
        assert_eq!(exit, Exit::Well);
        let (text, _) = printed(balance(true, 5, 1, 0));
        let line = "  s/d: accepted 10 + 5 from before = delivered 12 + dead-lettered 2 + gone from the log 1 + pending 0\n";
        assert_eq!(text, format!("drained:\n{line}"));
    }

    #[test]
    fn what_is_pending_is_lost_only_if_the_stream_does_not_keep_it() {
        let (text, exit) = printed(balance(true, 0, 0, 3));
        assert!(
            text.ends_with("    3 records stay in the log and are delivered after the next start\n"),
            "{text}"
        );
        assert_eq!(exit, Exit::Well);
        let (text, exit) = printed(balance(false, 0, 0, 3));
        assert!(text.ends_with("+ pending 3\n"), "{text}");
        assert_eq!(exit, Exit::Undelivered);
    }
}
