//! `run --processes N`: the load of one command by several processes, and what they saw as if it were one.
//!
//! All of them begin at one time. What surrounds the load – the steps of a ramp, chaos, the server's process, the
//! verification – is the business of the first process alone, which starts the others anew for each step.
//!
//! Each tells how far it is ([`progress`]), and the first process shows the sum.
//!
//! One process shares its allocator, its pacers' cores and its file descriptors among all connections; several do not.

pub mod progress;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use forebay::runtime::clock;
use forebay_load::join::{self, JoinError, Order};
use forebay_load::manifest::{Manifest, ManifestError};
use forebay_load::ramp::Runner;
use forebay_load::record::{Record, RecordError};
use forebay_load::run::report::Report;
use forebay_load::run::{self, Mode, Outcome, Plan, Progress, RunError, Source};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use thiserror::Error;

use self::progress::Listener;

/// Processes of a run.
pub const PROCESSES_MAX: u32 = 64;

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// From when processes are started to when all of them begin to send: they have to make their keys and first bodies.
const AHEAD: Duration = Duration::from_millis(700);

/// Options, each with a value, of what surrounds the load.
const AROUND: [&str; 15] = [
    "--ramp",
    "--ramp-factor",
    "--ramp-step",
    "--ramp-latency",
    "--ramp-refine",
    "--ramp-max",
    "--ramp-html",
    "--chaos",
    "--server-command",
    "--server-log",
    "--stall-proxy",
    "--freeze-pid",
    "--verify",
    "--endpoint",
    "--key",
];

/// Why several processes have no report.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// There is no room for what they write.
    #[error("{0}: {1}")]
    Folder(PathBuf, io::Error),
    /// They cannot be started, or not be waited for.
    #[error("processes of the load generator: {0}")]
    Start(io::Error),
    /// One did not come to its end.
    #[error("a process of the load generator ended with {status}, and the others were ended: {told}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last that it said.
        told: String,
    },
    /// The server cannot be reached or watched.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What one has left behind cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The same of a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What they have left behind is not of one run.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// A folder that goes when it is not needed any more.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process under way, and what it says.
struct Part {
    child: Child,
    listener: Listener,
}

/// Processes under way; they are killed if they are not waited for.
struct Children(Vec<Part>);

impl Drop for Children {
    fn drop(&mut self) {
        for Part { child, .. } in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Children {
    /// What all have told so far of a load that began, or begins, at `start`.
    fn progress(&self, start: Instant) -> Progress {
        let elapsed = clock::monotonic().saturating_duration_since(start);
        progress::sum(self.0.iter().map(|part| &part.listener), elapsed)
    }
}

/// The load of a command by several processes.
pub struct Processes {
    /// The command's options, without those of what surrounds the load.
    args: Vec<OsString>,
    count: u32,
}

impl Processes {
    /// `args` are the options of the whole command.
    pub fn new(args: impl IntoIterator<Item = OsString>, count: u32) -> Self {
        Self { args: of_load(args), count }
    }

    /// In groups of their own: a terminal's Ctrl-C is for the first process alone, which tells them once. They end when
    /// it does, whatever ends it.
    fn start(&self, plan: &Plan, folder: &Path) -> Result<Children, ProcessError> {
        let program = std::env::current_exe().map_err(ProcessError::Start)?;
        let mut children = Children(Vec::new());
        for index in 0..self.count {
            // What goes wrong with several at once cannot be read on one terminal.
            let said = File::create(told_in(folder, index));
            let said = said.map_err(|source| ProcessError::Folder(told_in(folder, index), source))?;
            let (heard, told) = io::pipe().map_err(ProcessError::Start)?;
            let child = Command::new(&program)
                .args(&self.args)
                .args(share(plan, index, self.count))
                .arg("--record")
                .arg(folder.join(format!("{index}.record")))
                .arg("--manifest")
                .arg(folder.join(format!("{index}.manifest")))
                .args(["--json", "/dev/null", "--processes", "1"])
                .args(["--parent", &std::process::id().to_string()])
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(told)
                .stderr(said)
                .spawn();
            let child = child.map_err(ProcessError::Start)?;
            children.0.push(Part { child, listener: Listener::start(heard) });
        }
        Ok(children)
    }
}

impl Runner for Processes {
    type Error = ProcessError;

    /// What all processes together have seen. They begin at the same time.
    fn run(
        &mut self,
        plan: &Plan,
        stop: Arc<AtomicBool>,
        observer: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, ProcessError> {
        plan.check_shared(self.count).map_err(RunError::from)?;
        let name = format!("forebay-load-{}-{}", plan.run_name, std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir(&folder.0).map_err(|source| ProcessError::Folder(folder.0.clone(), source))?;
        // A server that this command has started may not listen yet.
        run::reach(plan, &stop)?;
        // Of one that comes and goes only this process knows the number; the others watch one that stays.
        let watch = if plan.followed_pid.is_some() { run::watch(plan)? } else { None };
        let now = Utc::now();
        let asked = plan.start_at.and_then(|at| (at - now).to_std().ok()).unwrap_or_default();
        let ahead = asked.max(AHEAD);
        let plan = &Plan { start_at: Some(now + ahead), ..plan.clone() };
        let start = clock::monotonic() + ahead;
        let mut children = self.start(plan, &folder.0)?;
        wait(&mut children, &folder.0, &stop, start, observer)?;
        let path = |index: u32, kind: &str| folder.0.join(format!("{index}.{kind}"));
        let records = (0..self.count).map(|index| Record::read(&path(index, "record")));
        let manifests = (0..self.count).map(|index| Manifest::read(&path(index, "manifest")));
        let mut manifest = join::manifests(manifests.collect::<Result<_, _>>()?)?;
        manifest.run.clone_from(&plan.run_name);
        let mut record = join::records(records.collect::<Result<_, _>>()?, Order::Together)?;
        record.report.settings.run_name.clone_from(&plan.run_name);
        let Report { payload_bytes, records, .. } = record.report;
        if let Some((usage, samples)) =
            watch.and_then(|watch| watch.finish(payload_bytes, records.acked, start))
        {
            record.report.server = Some(usage);
            record.server = samples;
        }
        Ok(Outcome { report: record.report.clone(), manifest, record })
    }
}

/// Has this process be told to end when `parent`, which began it, is no more.
pub fn end_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have gone before that.
    match getppid().is_some_and(|pid| pid.as_raw_pid().unsigned_abs() == parent) {
        true => Ok(()),
        false => Err(io::Error::other("the process that began this one is gone")),
    }
}

/// Takes off what only the first process does: steps of a ramp, chaos, verification.
fn of_load(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut kept = Vec::new();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if !AROUND.contains(&name) {
            kept.push(arg);
        } else if name == text {
            // Each of them has a value, which is the next one.
            args.next();
        }
    }
    kept
}

/// Where a process says what went wrong.
fn told_in(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("{index}.told"))
}

/// The options of one of `count` processes; what is given twice counts as given last. The plan was checked.
fn share(plan: &Plan, index: u32, count: u32) -> Vec<String> {
    let part = |total: u64| total / u64::from(count) + u64::from(u64::from(index) < total % u64::from(count));
    let connections = part(plan.connections.into());
    // Each has one producer for each request that may be under way, and its share of those beyond.
    let producers =
        connections * u64::from(plan.pipeline) + part(u64::from(plan.producers) - plan.lanes() as u64);
    let mut options = vec![
        ("--run-name", format!("{}.{index}", plan.run_name)),
        ("--connections", connections.to_string()),
        ("--producers", producers.to_string()),
        ("--seed", plan.seed.wrapping_add(u64::from(index)).to_string()),
    ];
    if let Mode::Open { rate } = plan.mode {
        options.push(("--rate", (rate / f64::from(count)).to_string()));
    }
    let millis = |duration: Duration| format!("{}ms", duration.as_secs_f64() * 1e3);
    options.extend(plan.duration.map(|duration| ("--duration", millis(duration))));
    let at = |start: DateTime<Utc>| start.to_rfc3339_opts(SecondsFormat::Micros, true);
    options.extend(plan.start_at.map(|start| ("--start-at", at(start))));
    options.extend(plan.records.map(|records| ("--records", part(records).to_string())));
    if let Source::File(_) = plan.source {
        options.push(("--file-part", plan.file_part.share(index, count).to_string()));
    }
    options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

/// Waits until all have ended, and tells the observer how far they are together.
fn wait(
    children: &mut Children,
    folder: &Path,
    stop: &AtomicBool,
    start: Instant,
    observer: &mut dyn FnMut(Progress),
) -> Result<(), ProcessError> {
    let mut is_told = vec![false; children.0.len()];
    let mut ended = vec![None; children.0.len()];
    while ended.iter().any(Option::is_none) {
        for (index, (Part { child, .. }, ended)) in children.0.iter_mut().zip(&mut ended).enumerate() {
            if ended.is_none() {
                *ended = child.try_wait().map_err(ProcessError::Start)?;
            }
            if let Some(status) = ended.filter(|status| !matches!(status.code(), Some(0 | 1))) {
                let text = std::fs::read_to_string(told_in(folder, index as u32)).unwrap_or_default();
                let told = text.lines().next_back().unwrap_or("it said nothing").to_owned();
                return Err(ProcessError::Ended { status, told });
            }
        }
        observer(children.progress(start));
        if stop.load(Ordering::Relaxed) {
            for ((part, ended), is_told) in children.0.iter().zip(&ended).zip(&mut is_told) {
                // Who has just been started does not hear yet, and a second signal ends one at once.
                let hears = ended.is_none() && part.listener.has_heard();
                if hears && !std::mem::replace(is_told, true) {
                    let _ = kill_process(Pid::from_child(&part.child), Signal::TERM);
                }
            }
        }
        thread::sleep(LOOK);
    }
    children.0.iter_mut().for_each(|part| part.listener.finish());
    observer(children.progress(start));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

    use forebay_load::run::FilePart;

    use super::*;

    #[test]
    fn shares_add_up_to_the_whole() {
        let mode = Mode::Open { rate: 1_000.0 };
        let plan = Plan { mode, connections: 10, producers: 10, records: Some(1_001), ..Plan::default() };
        let shares: Vec<_> = (0..3).map(|index| share(&plan, index, 3)).collect();
        let sum = |name: &str| -> f64 {
            let of = |share: &Vec<String>| {
                share[share.iter().position(|option| option == name).unwrap() + 1].parse::<f64>().unwrap()
            };
            shares.iter().map(of).sum()
        };
        assert_eq!((sum("--connections"), sum("--records"), sum("--producers")), (10.0, 1_001.0, 10.0));
        assert!((sum("--rate") - 1_000.0).abs() < 1e-9);
        assert_eq!(shares[2][1], "run.2");
    }

    #[test]
    fn each_process_has_a_part_of_the_file() {
        let (source, file_part) = (Source::File("a".into()), FilePart { index: 1, count: 2 });
        let plan = Plan { source, file_part, ..Plan::default() };
        let parts = (0..3).map(|index| share(&plan, index, 3).pop().unwrap()).collect::<Vec<_>>();
        assert_eq!(parts, ["4/6", "5/6", "6/6"]);
    }

    #[test]
    fn each_process_has_a_producer_for_each_request_that_may_be_under_way() {
        let plan = Plan { connections: 10, pipeline: 8, producers: 85, ..Plan::default() };
        let shares: Vec<_> = (0..3).map(|index| share(&plan, index, 3)).collect();
        let of = |share: &Vec<String>, name: &str| -> u64 {
            share[share.iter().position(|option| option == name).unwrap() + 1].parse().unwrap()
        };
        assert!(shares.iter().all(|share| of(share, "--producers") >= 8 * of(share, "--connections")));
        assert_eq!(shares.iter().map(|share| of(share, "--producers")).sum::<u64>(), 85);
    }

    #[test]
    fn what_surrounds_the_load_is_taken_off_with_its_values() {
        let given =
            ["run", "--ramp", "10", "--ramp-step=2s", "--url", "u", "--verify", "a", "--verify=b", "--retry"];
        let kept = of_load(given.map(OsString::from));
        assert_eq!(kept, ["run", "--url", "u", "--retry"]);
    }
}
