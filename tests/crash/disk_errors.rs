//! Writes, syncs and renames that fail in the C library under the real binary (libfiu).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use forebay::testkit::skip::skipped;

use crate::trial::{Setup, Trial, long_row};

/// Where Debian puts what is to be loaded first.
const LIBRARIES: [&str; 2] = ["/usr/lib/fiu/fiu_run_preload.so", "/usr/lib/fiu/fiu_posix_preload.so"];

/// For how long calls fail.
const ILL: Duration = Duration::from_secs(2);

const EIO: u32 = 5;
const ENOSPC: u32 = 28;

/// Name of the call at libfiu, its error number, and how many of a thousand calls fail.
const FAULTS: &[(&str, u32, u32)] = &[
    ("posix/io/sync/fdatasync", EIO, 50),
    ("posix/io/rw/pwrite", EIO, 30),
    ("posix/io/rw/pwrite", ENOSPC, 1_000),
    ("posix/io/dir/rename", EIO, 500),
    ("posix/io/sync/fsync", EIO, 300),
    ("posix/io/sync/fdatasync", EIO, 1_000),
];

fn is_installed() -> bool {
    let is_there = LIBRARIES.iter().all(|path| Path::new(path).exists())
        && Command::new("fiu-ctrl").arg("-h").output().is_ok();
    if !is_there {
        skipped("libfiu is not installed (Debian: apt-get install fiu-utils libfiu0; `make crash` does it)");
    }
    is_there
}

/// Tells the process what is to fail.
fn control(pipe: &Path, pid: u32, command: &str) {
    let output =
        Command::new("fiu-ctrl").arg("-f").arg(pipe).args(["-c", command, &pid.to_string()]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "fiu-ctrl: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nothing_is_lost_or_doubled_when_writes_and_syncs_fail() {
    if !long_row() || !is_installed() {
        return;
    }
    // The ring talks to the kernel without the C library.
    let log = "segment = \"4MiB\"\nwriter = \"thread\"".into();
    let setup = Setup { log, ..Setup::default() };
    let mut node = setup.node();
    let pipe: PathBuf = node.path().join("fiu");
    node.set("LD_PRELOAD", &LIBRARIES.join(" "));
    node.set("FIU_CTRL_FIFO", pipe.to_str().unwrap());
    let mut trial = Trial::on(node, "writes, syncs and renames fail (libfiu)", &setup);
    trial.progress(500);
    for (number, (call, error, per_mille)) in FAULTS.iter().enumerate() {
        let probability = f64::from(*per_mille) / 1_000.0;
        let enable = format!("enable_random name={call},probability={probability},failinfo={error}");
        control(&pipe, trial.node.pid(), &enable);
        std::thread::sleep(ILL);
        if number % 2 == 1 {
            trial.kill();
            trial.node.start();
        } else {
            control(&pipe, trial.node.pid(), &format!("disable name={call}"));
        }
        trial.progress(200);
    }
    let outcomes = trial.end_load();
    let failed: u64 = outcomes
        .iter()
        .flat_map(|outcome| &outcome.report.errors)
        .filter(|error| error.status.is_some())
        .map(|error| error.count)
        .sum();
    assert!(failed > 0, "no request met a failing disk");
    trial.row.note = format!("{failed} requests refused because of it");
    trial.settle(&outcomes);
}
