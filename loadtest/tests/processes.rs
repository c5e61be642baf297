//! `run --processes`: what several processes share, and what is told when one of them cannot.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "other tests need the rest of it")]
mod server;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use forebay::testkit::skip::skipped;
use forebay_load::manifest::Manifest;
use forebay_load::record::Record;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use server::{Act, Server};

fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay-load"));
    command.args(["run", "--stream", "events", "--url", url]).args(args);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn told(done: &Output) -> String {
    String::from_utf8(done.stderr.clone()).unwrap()
}

/// A server that keeps `kept` requests and then says nothing more until the returned end is dropped.
fn silent_after(lake: &Path, kept: u64) -> (Server, Sender<()>) {
    let (let_go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(lake, move |request| {
        if request >= kept {
            // Fails when the other end is gone.
            let _ = wait.lock().unwrap().recv();
        }
        Act::Keep
    });
    (server, let_go)
}

/// More than one of two processes has is shown, so that it is the sum, and no line but those of the sum is.
#[test]
fn what_all_processes_have_done_is_shown_in_one_line_while_they_run() {
    let folder = tempfile::tempdir().unwrap();
    let (server, let_go) = silent_after(&folder.path().join("lake"), 190);
    let args = ["--processes", "2", "--connections", "2", "--records", "2000", "--batch", "10"];
    let mut child = command(&server.url, &args)
        .args(["--retry", "--timeout", "20s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut let_go = Some(let_go);
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if acked(&line).is_some_and(|records| records > 1_000) {
            let_go.take();
        }
        lines.push(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{lines:?}");
    let shown: Vec<_> = lines.iter().map(|line| acked(line)).collect();
    assert!(let_go.is_none() && shown.iter().all(Option::is_some) && shown.is_sorted(), "{lines:?}");
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    // Of one run, told once.
    assert!(!report.contains("payload_bytes") && report.matches("p99").count() > 0, "{report}");
}

/// Records that a line of progress tells; nothing if it is none.
fn acked(line: &str) -> Option<u64> {
    let (records, rest) = line.split_once(" records acked, ")?;
    rest.contains("/s, ").then(|| records.parse().ok())?
}

#[test]
fn on_a_terminal_several_processes_have_one_bar() {
    let folder = tempfile::tempdir().unwrap();
    let (server, let_go) = silent_after(&folder.path().join("lake"), 190);
    let run = command(
        &server.url,
        &["--processes", "2", "--connections", "2", "--records", "2000", "--batch", "10", "--retry"],
    );
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let run = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let started = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        return skipped("there is no `script`, which gives a command a terminal: install util-linux");
    };
    let (mut shown, mut let_go) = (String::new(), Some(let_go));
    let mut terminal = child.stdout.take().unwrap();
    let mut bytes = [0; 1_024];
    loop {
        let count = terminal.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if shown.split('%').filter_map(|text| acked(text.trim_start())).any(|records| records > 1_000) {
            let_go.take();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{shown}");
    assert!(let_go.is_none(), "{shown}");
    // A bar is drawn over itself: only the report has lines.
    let (bars, _) = shown.split_once('\n').unwrap();
    assert!(bars.contains("% ") && !shown.contains("payload_bytes"), "{shown}");
}

/// Ctrl-C reaches every process of the terminal's group.
#[test]
fn a_signal_to_the_whole_group_ends_the_run_with_its_manifest_and_record() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let (lake, path) = (folder.path().join("lake"), |name: &str| folder.path().join(name));
        let server = Server::start(&lake, |_| Act::Keep);
        let (manifest, record) = (path("manifest"), path("record"));
        let args = ["--processes", "2", "--connections", "4", "--rate", "2000", "--batch", "50"];
        let mut child = command(&server.url, &args)
            .args(["--duration", "1h", "--manifest", text(&manifest), "--record", text(&record)])
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while server.requests() < 10 {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let manifest_read = Manifest::read(&manifest).unwrap();
        let acked: u64 = manifest_read.producers.iter().map(|account| account.acked.count()).sum();
        assert_eq!(
            (acked, Record::read(&record).unwrap().report.records.acked),
            (50 * server.requests(), acked)
        );
        let verified = Command::new(env!("CARGO_BIN_EXE_forebay-load"))
            .args(["verify", text(&lake), "--manifest", text(&manifest)])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
}

#[test]
fn a_run_that_is_ended_before_its_time_comes_sends_nothing_and_leaves_its_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("lake"), |_| Act::Keep);
    let manifest = folder.path().join("manifest");
    let start_at = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    for processes in ["1", "2"] {
        let mut child = command(&server.url, &["--processes", processes, "--start-at", &start_at])
            .args(["--connections", "4", "--manifest", text(&manifest)])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It hears signals by the time that it shows something.
        let mut shown = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        shown.read_line(&mut line).unwrap();
        assert_eq!(acked(&line), Some(0), "{line}");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let accounts = Manifest::read(&manifest).unwrap().producers;
        assert!(!accounts.is_empty() && accounts.iter().all(|account| account.acked.count() == 0));
    }
    assert_eq!(server.requests(), 0);
}

/// Numbers that the objects of a lake of the server hold as `n`.
fn numbers(lake: &Path) -> Vec<u64> {
    let read = |name: &str| {
        let mut text = String::new();
        let file = std::fs::File::open(lake.join(name)).unwrap();
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let raw = |letter: serde_json::Value| -> serde_json::Value {
        serde_json::from_slice(&STANDARD.decode(letter["raw"].as_str().unwrap()).unwrap()).unwrap()
    };
    let letters = read("errors/reason=schema/1.json.gz").into_iter().map(raw);
    let mut numbers: Vec<_> = read("part-1.json.gz")
        .into_iter()
        .chain(letters)
        .map(|record| record["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_lines_of_a_file_are_shared_and_each_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, lake) = (folder.path().join("events.ndjson"), folder.path().join("lake"));
    let lines: Vec<_> = (0..203).map(|number| format!("{{\"n\":{number}}}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let server = Server::start(&lake, |_| Act::Keep);
    let args = ["--file", text(&file), "--processes", "3", "--connections", "3", "--batch", "10"];
    let done = command(&server.url, &args).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(numbers(&lake), (0..203).collect::<Vec<_>>());
}

#[test]
fn the_parts_of_a_file_are_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, lake) = (folder.path().join("events.ndjson"), folder.path().join("lake"));
    let lines: Vec<_> = (0..101).map(|number| format!("{{\"n\":{number}}}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let server = Server::start(&lake, |_| Act::Keep);
    for (part, processes) in [("1/2", "2"), ("2/2", "1")] {
        let args = ["--file", text(&file), "--file-part", part, "--processes", processes, "--batch", "10"];
        let done = command(&server.url, &args).output().unwrap();
        assert!(done.status.success(), "{}", told(&done));
    }
    assert_eq!(numbers(&lake), (0..101).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_shared_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), |_| Act::Keep);
    for (args, reason) in [
        (&["--connections", "8", "--producers", "4", "--processes", "2"][..], "--producers 4 cannot be used"),
        (&["--connections", "2", "--processes", "4"], "--connections 2 cannot be used: give at least 4"),
        (&["--records", "1", "--processes", "2"], "--records 1 cannot be used: give at least 2"),
        (
            &["--mix", "native:1,kinesis:1", "--connections", "3", "--processes", "2"],
            "--connections 3 cannot be used: give at least 4",
        ),
    ] {
        let done = command(&server.url, args).output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(told(&done).contains(reason), "{}", told(&done));
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn what_a_process_says_before_it_gives_up_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("lake"), |_| Act::Keep);
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, "{}\n{}\n[]\n{}\n").unwrap();
    let args = ["--file", text(&file), "--processes", "2", "--batch", "10"];
    let done = command(&server.url, &args).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let told = told(&done);
    assert!(told.contains("exit status: 2") && told.contains("events.ndjson, line 3"), "{told}");
    assert!(!told.contains("Some("), "{told}");
}
