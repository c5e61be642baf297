//! `forebay-load`: the load generator and verifier of Forebay.
//!
//! Exit codes: 0, all is well; 1, a request failed for good, or a lake is not as it has to be; 2, the command could
//! not be carried out.

mod cli;
mod terminal;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use forebay_load::manifest::Manifest;
use forebay_load::record::Record;
use forebay_load::report::{page, picture, plots};
use forebay_load::{generate, run, verify};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use cli::{Cli, Command, GenerateArgs, ReportArgs, RunArgs, VerifyArgs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // Fails only if there is one already, and then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Run(args) => run_load(*args),
        Command::Verify(args) => verify_lakes(args),
        Command::Report(args) => draw_records(&args),
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
    let (json, manifest, record) = (args.json.clone(), args.manifest.clone(), args.record.clone());
    let plan = args.plan(&|name| std::env::var(name).ok())?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop))?;
    let mut display = terminal::RunDisplay::new(&plan);
    let outcome = run::run(&plan, stop, &mut |progress| display.show(progress));
    display.finish();
    let outcome = outcome?;
    if let Some(path) = manifest {
        outcome.manifest.write(&path)?;
    }
    if let Some(path) = record {
        outcome.record.write(&path)?;
    }
    print(json.as_deref(), &outcome.report, &outcome.report.to_string())?;
    Ok(outcome.is_success())
}

fn verify_lakes(args: VerifyArgs) -> Result<bool, Failure> {
    let json = args.json.clone();
    let manifests = args.manifest.iter().map(|path| Manifest::read(path)).collect::<Result<_, _>>()?;
    let plan = args.plan(store_environment(), manifests)?;
    let mut display = terminal::VerifyDisplay::new(plan.lakes.len());
    let verdicts = verify::verify(&plan, &mut |progress| display.show(progress));
    display.finish();
    let verdicts = verdicts?;
    let text: String = verdicts.iter().map(ToString::to_string).collect();
    print(json.as_deref(), &verdicts, &text)?;
    Ok(verdicts.iter().all(|verdict| verdict.ok))
}

fn draw_records(args: &ReportArgs) -> Result<bool, Failure> {
    let (mut body, mut groups) = (String::new(), Vec::new());
    for path in &args.records {
        let record = Record::read(path)?;
        let name = format!("{} ({})", record.report.settings.run_name, path.display());
        let drawn = plots::plots(&[(name.clone(), &record)]);
        body.push_str(&page::run(&name, &record, &drawn));
        groups.push((name, drawn));
    }
    if let Some(path) = &args.html {
        write_file(path, page::page("Load on Forebay", &body).as_bytes())?;
    }
    if let Some(path) = &args.png {
        write_file(path, &picture::picture(&groups)?)?;
    }
    Ok(true)
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    Ok(std::fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))?)
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

/// The first SIGINT or SIGTERM ends the run in good order, manifest and all; the second ends the program.
fn stop_on_signal(stop: Arc<AtomicBool>) -> io::Result<()> {
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
                    std::process::exit(code);
                }
                stop.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
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
