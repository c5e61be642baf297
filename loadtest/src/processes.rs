//! `run --processes N`: the load of one command by several processes, and what they saw as if it were one.
//!
//! One process shares its allocator, its pacers' cores and its file descriptors among all connections; several do not.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use forebay_load::join::{self, Order};
use forebay_load::manifest::Manifest;
use forebay_load::record::Record;
use forebay_load::run::{Mode, Plan};
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// Processes of a run.
pub const PROCESSES_MAX: u32 = 64;

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// A folder that goes when it is not needed any more.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Processes under way; they are killed if they are not waited for.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What all processes together have seen. True if each ended well.
pub fn run(
    args: &[OsString],
    plan: &Plan,
    count: u32,
    stop: &AtomicBool,
) -> Result<(bool, Record, Manifest), Failure> {
    let name = format!("forebay-load-{}-{}", plan.run_name, std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir(&folder.0).map_err(|error| format!("{}: {error}", folder.0.display()))?;
    let program = std::env::current_exe()?;
    let mut children = Children(Vec::new());
    for index in 0..count {
        // Progress of several processes on one terminal cannot be read.
        let child = Command::new(&program)
            .args(args)
            .args(share(plan, index, count))
            .arg("--record")
            .arg(folder.0.join(format!("{index}.record")))
            .arg("--manifest")
            .arg(folder.0.join(format!("{index}.manifest")))
            .args(["--json", "/dev/null", "--processes", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if index == 0 { Stdio::inherit() } else { Stdio::null() })
            .spawn()?;
        children.0.push(child);
    }
    let is_success = wait(&mut children, stop)?;
    let path = |index: u32, kind: &str| folder.0.join(format!("{index}.{kind}"));
    let records = (0..count).map(|index| Record::read(&path(index, "record"))).collect::<Result<_, _>>()?;
    let manifests = (0..count).map(|index| Manifest::read(&path(index, "manifest")));
    let manifest = join::manifests(manifests.collect::<Result<_, _>>()?)?;
    let mut record = join::records(records, Order::Together)?;
    record.report.settings.run_name.clone_from(&plan.run_name);
    Ok((is_success, record, Manifest { run: plan.run_name.clone(), ..manifest }))
}

/// The options of one of `count` processes; what is given twice counts as given last.
fn share(plan: &Plan, index: u32, count: u32) -> Vec<String> {
    let part = |total: u64| total / u64::from(count) + u64::from(u64::from(index) < total % u64::from(count));
    let mut options = vec![
        ("--run-name", format!("{}.{index}", plan.run_name)),
        ("--connections", part(plan.connections.into()).to_string()),
        ("--producers", part(plan.producers.into()).to_string()),
        ("--seed", plan.seed.wrapping_add(u64::from(index)).to_string()),
    ];
    if let Mode::Open { rate } = plan.mode {
        options.push(("--rate", (rate / f64::from(count)).to_string()));
    }
    options.extend(plan.records.map(|records| ("--records", part(records).to_string())));
    options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

fn wait(children: &mut Children, stop: &AtomicBool) -> Result<bool, Failure> {
    let mut is_told = false;
    let mut codes = vec![None; children.0.len()];
    while codes.iter().any(Option::is_none) {
        for (child, code) in children.0.iter_mut().zip(&mut codes) {
            if code.is_none() {
                *code = child.try_wait()?.map(|status| status.code());
            }
        }
        if let Some(code) = codes.iter().flatten().find(|code| !matches!(code, Some(0 | 1))) {
            return Err(format!(
                "a process of the load generator ended with {code:?}; the others were ended"
            )
            .into());
        }
        if stop.load(Ordering::Relaxed) && !std::mem::replace(&mut is_told, true) {
            for child in &children.0 {
                // One that has ended needs not be told.
                let _ = kill_process(Pid::from_child(child), Signal::TERM);
            }
        }
        thread::sleep(LOOK);
    }
    Ok(codes.iter().all(|code| *code == Some(Some(0))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

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
}
