//! A disk that runs full, for real: a file system of its own in memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use forebay::testkit::skip::skipped;

use crate::node::{LOOK, PATIENCE};
use crate::trial::{Setup, Trial, long_row};

/// Room for a few segments.
const DISK_BYTES: u64 = 64 << 20;
/// After so long without an ack, the edge refuses.
const REFUSING: Duration = Duration::from_secs(3);

/// A mounted file system; gone with its owner.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={DISK_BYTES},mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            Ok(output) => {
                skipped(&format!("cannot mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                skipped(&format!("cannot mount a tmpfs: {error}"));
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for block in [1 << 20, 4 << 10] {
            let zeros = vec![0; block];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn empty(&self) {
        let _ = fs::remove_file(self.ballast());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while a process of a failed test still has files open in it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn runs_full(trial: &Trial, disk: &Disk) {
    let began = Instant::now();
    let (mut acked, mut since) = (trial.acked(), Instant::now());
    while since.elapsed() < REFUSING {
        // What is let go of meanwhile is filled as well.
        disk.fill();
        assert!(began.elapsed() < PATIENCE, "the full disk never stops it");
        std::thread::sleep(LOOK);
        let now = trial.acked();
        if now > acked {
            (acked, since) = (now, Instant::now());
        }
    }
}

#[test]
fn a_full_disk_is_refused_at_the_edge_and_service_resumes_when_there_is_room() {
    if !long_row() {
        return;
    }
    let setup = Setup { record_bytes: 3_000, rate: 500.0, batch: 10, ..Setup::default() };
    let node = setup.node();
    let Some(disk) = Disk::mount(&node.path().join("data")) else { return };
    let mut trial = Trial::on(node, "disk runs full, with a kill while it is", &setup);
    trial.progress(500);
    runs_full(&trial, &disk);
    disk.empty();
    trial.progress(500);
    runs_full(&trial, &disk);
    trial.kill();
    trial.node.start();
    std::thread::sleep(REFUSING);
    disk.empty();
    trial.progress(500);
    let outcomes = trial.end_load();
    let refused: u64 = outcomes
        .iter()
        .flat_map(|outcome| &outcome.report.errors)
        .filter(|error| error.status == Some(507))
        .map(|error| error.count)
        .sum();
    assert!(refused > 0, "nothing was refused with 507");
    trial.row.note = format!("{refused} requests refused with 507");
    trial.settle(&outcomes);
    drop(disk);
}
