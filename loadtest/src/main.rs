//! `forebay-load`: the load generator and verifier of Forebay.
//!
//! Exit codes: 0, all is well; 1, a request failed for good, or a lake is not as it has to be; 2, the command could
//! not be carried out.

mod cli;
mod draw;
mod processes;
mod terminal;

use std::cell::RefCell;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use clap::Parser;
use forebay_load::chaos::{self, Chaos, Fault};
use forebay_load::join::{self, Order};
use forebay_load::manifest::Manifest;
use forebay_load::ramp::{Ramp, Runner};
use forebay_load::record::Record;
use forebay_load::{calibrate, generate, ramp, run, verify};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use processes::progress::Teller;
use processes::{ProcessError, Processes};

use terminal::{RunDisplay, VerifyDisplay};

use cli::{CalibrateArgs, Cli, Command, GenerateArgs, MergeArgs, RunArgs, VerifyArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // Fails only if there is one already, and then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Run(args) => run_load(*args),
        Command::Calibrate(args) => tell_cost(&args),
        Command::Verify(args) => verify_lakes(args),
        Command::Report(args) => draw::records(&args),
        Command::Compare(args) => draw::comparison(&args),
        Command::Merge(args) => merge(&args),
        Command::Generate(args) => generate_records(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run_load(args: RunArgs) -> Result<bool, Failure> {
    let files = Files {
        json: args.json.clone(),
        manifest: args.manifest.clone(),
        record: args.record.clone(),
        html: args.ramp_html.clone(),
    };
    let (chaos, lakes, count, is_part) = (args.chaos(), args.lakes(), args.processes, args.parent.is_some());
    args.parent.map_or(Ok(()), processes::end_with)?;
    let plan = args.ramp(&|name| std::env::var(name).ok())?;
    let stop = Arc::new(AtomicBool::new(false));
    let server = stop_on_signal(Arc::clone(&stop))?;
    let mut worker = match count {
        1 => Worker::This,
        count => Worker::Several(Processes::new(std::env::args_os().skip(1), count)),
    };
    let plan = match plan {
        Ok(ramp) => return find_knee(&ramp, &mut worker, &stop, &files),
        Err(plan) => plan,
    };
    if is_part {
        let mut teller = Teller::default();
        // From here on a signal ends it in good order.
        teller.tell(run::Progress::default());
        let outcome = worker.run(&plan, stop, &mut |progress| teller.tell(progress))?;
        files.write(Some(&outcome.manifest), Some(&outcome.record))?;
        return Ok(outcome.is_success());
    }
    let (outcome, faults) = match &chaos {
        None => (calm(&plan, &mut worker, stop)?, Vec::new()),
        Some(settings) => disturbed(&plan, &mut worker, settings, (stop, &server))?,
    };
    files.write(Some(&outcome.manifest), Some(&outcome.record))?;
    print(files.json.as_deref(), &outcome.report, &outcome.report.to_string())?;
    let mut is_right = outcome.is_success() && faults.is_empty();
    for fault in faults {
        writeln!(io::stderr(), "chaos: {fault}")?;
    }
    if let Some(lakes) = lakes {
        let plan = lakes.plan(store_environment(), vec![outcome.manifest])?;
        for verdict in verify::verify(&plan, &mut |_| {})? {
            io::stdout().lock().write_all(verdict.to_string().as_bytes())?;
            is_right &= verdict.ok;
        }
    }
    Ok(is_right)
}

/// Who sends the load.
enum Worker {
    /// This process.
    This,
    /// Several others.
    Several(Processes),
}

impl Runner for Worker {
    type Error = ProcessError;

    fn run(
        &mut self,
        plan: &run::Plan,
        stop: Arc<AtomicBool>,
        observer: &mut dyn FnMut(run::Progress),
    ) -> Result<run::Outcome, ProcessError> {
        match self {
            Worker::This => Ok(run::run(plan, stop, observer)?),
            Worker::Several(processes) => processes.run(plan, stop, observer),
        }
    }
}

fn calm(plan: &run::Plan, worker: &mut Worker, stop: Arc<AtomicBool>) -> Result<run::Outcome, Failure> {
    let mut display = RunDisplay::new(plan);
    let outcome = worker.run(plan, stop, &mut |progress| display.show(progress));
    display.finish();
    Ok(outcome?)
}

/// The same with something done to the server meanwhile. It has ended afterwards.
fn disturbed(
    plan: &run::Plan,
    worker: &mut Worker,
    settings: &chaos::Settings,
    (stop, server): (Arc<AtomicBool>, &OnceLock<Arc<AtomicU32>>),
) -> Result<(run::Outcome, Vec<Fault>), Failure> {
    plan.check()?;
    let mut chaos = Chaos::start(settings, plan.duration)?;
    // Nobody else sets it.
    chaos.server_pid().map(|pid| server.set(pid));
    let plan = run::Plan { followed_pid: chaos.server_pid(), ..plan.clone() };
    let mut display = RunDisplay::new(&plan);
    let mut failed = None;
    let end = Arc::clone(&stop);
    let outcome = worker.run(&plan, Arc::clone(&stop), &mut |progress| {
        display.show(progress);
        if failed.is_none()
            && let Err(error) = chaos.act(progress.elapsed)
        {
            end.store(true, Ordering::Relaxed);
            failed = Some(error);
        }
    });
    display.finish();
    let mut outcome = outcome?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    // Who ends the load early knows that the rest of the script was not for it.
    let (marks, faults) = chaos.finish(stop.load(Ordering::Relaxed))?;
    outcome.record.marks = marks;
    Ok((outcome, faults))
}

/// Where a run is written down.
struct Files {
    json: Option<PathBuf>,
    manifest: Option<PathBuf>,
    record: Option<PathBuf>,
    html: Option<PathBuf>,
}

impl Files {
    fn write(&self, manifest: Option<&Manifest>, record: Option<&Record>) -> Result<(), Failure> {
        if let Some((manifest, path)) = manifest.zip(self.manifest.as_deref()) {
            manifest.write(path)?;
        }
        if let Some((record, path)) = record.zip(self.record.as_deref()) {
            record.write(path)?;
        }
        Ok(())
    }
}

/// Exit code 1 if no step was sustained.
fn find_knee(
    ramp: &Ramp,
    worker: &mut Worker,
    stop: &Arc<AtomicBool>,
    files: &Files,
) -> Result<bool, Failure> {
    let of_step = run::Plan { duration: Some(ramp.step), ..ramp.plan.clone() };
    let display = RefCell::new((ramp.from, RunDisplay::new(&of_step)));
    let found = ramp::ramp(
        ramp,
        worker,
        stop,
        &mut |rate, progress| {
            let (of_rate, display) = &mut *display.borrow_mut();
            if rate != *of_rate {
                display.finish();
                (*of_rate, *display) = (rate, RunDisplay::new(&of_step));
            }
            display.show(progress);
        },
        &mut |step| {
            let end = step.limit.map_or("sustained".to_owned(), |limit| limit.to_string());
            display.borrow().1.say(&format!("{:.0} records/s: {end}", step.rate));
        },
    );
    display.borrow().1.finish();
    let found = found?;
    files.write(found.manifest.as_ref(), found.record.as_ref())?;
    if let Some(path) = &files.html {
        draw::ramp(path, &ramp.plan.run_name, &found)?;
    }
    print(files.json.as_deref(), &found, &found.to_string())?;
    Ok(found.knee.is_some())
}

fn tell_cost(args: &CalibrateArgs) -> Result<bool, Failure> {
    let (plan, against) = (args.plan(), args.against(&|name| std::env::var(name).ok())?);
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop))?;
    let mut display = RunDisplay::new(&plan);
    let cost = calibrate::calibrate(&plan, Arc::clone(&stop), &mut |progress| display.show(progress));
    display.finish();
    let mut cost = cost?;
    if let Some(plan) = against {
        let mut display = RunDisplay::new(&plan);
        let server = calibrate::against(&plan, &cost, stop, &mut |progress| display.show(progress));
        display.finish();
        cost.server = Some(server?);
    }
    print(args.json.as_deref(), &cost, &cost.to_string())?;
    Ok(true)
}

fn merge(args: &MergeArgs) -> Result<bool, Failure> {
    if let Some(path) = &args.record {
        let records = args.records.iter().map(|path| Record::read(path)).collect::<Result<Vec<_>, _>>()?;
        let joined = join::records(records, Order::Together)?;
        joined.write(path)?;
        print(None, &joined.report, &joined.report.to_string())?;
    }
    if let Some(path) = &args.manifest {
        let manifests =
            args.manifests.iter().map(|path| Manifest::read(path)).collect::<Result<Vec<_>, _>>()?;
        join::manifests(manifests)?.write(path)?;
    }
    Ok(true)
}

fn verify_lakes(args: VerifyArgs) -> Result<bool, Failure> {
    let json = args.json.clone();
    let manifests = args.manifest.iter().map(|path| Manifest::read(path)).collect::<Result<_, _>>()?;
    let plan = args.plan(store_environment(), manifests)?;
    let mut display = VerifyDisplay::new(plan.lakes.len());
    let verdicts = verify::verify(&plan, &mut |progress| display.show(progress));
    display.finish();
    let verdicts = verdicts?;
    let text: String = verdicts.iter().map(ToString::to_string).collect();
    print(json.as_deref(), &verdicts, &text)?;
    Ok(verdicts.iter().all(|verdict| verdict.ok))
}

fn generate_records(args: &GenerateArgs) -> Result<bool, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match generate::write(&args.plan()?, &mut out) {
        // Whoever reads has seen enough.
        Err(generate::GenerateError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        done => Ok(done.map(|()| true)?),
    }
}

/// Settings of object stores: `AWS_*` and the like, by their names in lower case.
fn store_environment() -> Vec<(String, String)> {
    let is_of_store =
        |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    let texts = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| is_of_store(name)).map(|(name, value)| (name.to_lowercase(), value)).collect()
}

/// The first SIGINT or SIGTERM ends the run in good order, manifest and all; the second ends the program, and kills the
/// server whose process the result is told of, which does not hear the terminal's signals itself.
fn stop_on_signal(stop: Arc<AtomicBool>) -> io::Result<Arc<OnceLock<Arc<AtomicU32>>>> {
    let server = Arc::<OnceLock<Arc<AtomicU32>>>::default();
    let known = Arc::clone(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            for is_last in [false, true] {
                // The shell's number of a program that ended by the signal.
                let code = tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                };
                if is_last {
                    if let Some(pid) = known.get() {
                        chaos::server::kill(pid.load(Ordering::Acquire));
                    }
                    std::process::exit(code);
                }
                stop.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(server)
}

/// JSON goes to its file, or takes the place of the text.
fn print(json: Option<&Path>, value: &impl Serialize, text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match json {
        Some(path) if path == Path::new("-") => {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        }
        Some(path) => {
            let written = serde_json::to_vec_pretty(value)?;
            std::fs::write(path, written).map_err(|error| format!("{}: {error}", path.display()))?;
            out.write_all(text.as_bytes())?;
        }
        None => out.write_all(text.as_bytes())?,
    }
    out.flush()?;
    Ok(())
}
