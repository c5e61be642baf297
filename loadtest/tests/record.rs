//! The record of a run, and what is made of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "other tests need the rest of it")]
mod server;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forebay_load::record::Record;
use server::{Act, Server};

fn load(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay-load")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Tells a number that grows, as a server's metrics do.
struct Admin {
    url: String,
    asked: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Admin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, ended) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, stop) = (Arc::clone(&asked), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                answer(stream, count.fetch_add(1, Ordering::Relaxed));
            }
        });
        Self { url, asked, ended }
    }
}

fn answer(mut stream: std::net::TcpStream, asked: u64) {
    let mut request = [0; 512];
    let read = stream.read(&mut request).unwrap();
    assert!(request[..read].starts_with(b"GET /metrics "));
    let body = format!("forebay_log_commits_total{{stream=\"a\"}} {asked}\nforebay_log_commits_total 1\n");
    let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n{body}");
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.url.strip_prefix("http://").unwrap());
    }
}

#[test]
fn a_record_tells_each_second_and_adds_up_to_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), |request| match request {
        25 => Act::Stall(Duration::from_millis(300)),
        10 | 11 => Act::Throttle("0"),
        _ => Act::Keep,
    });
    let (admin, path) = (Admin::start(), folder.path().join("run.record"));
    let pid = std::process::id().to_string();
    let done = load(&[
        "run",
        "--stream",
        "events",
        "--url",
        &server.url,
        "--rate",
        "2000",
        "--batch",
        "50",
        "--retry",
        "--duration",
        "1500ms",
        "--server-pid",
        &pid,
        "--metrics",
        &admin.url,
        "--record",
        text(&path),
    ]);
    assert!(done.status.success(), "{done:?}");
    let record = Record::read(&path).unwrap();
    let sum = |of: fn(&forebay_load::record::Interval) -> u64| record.intervals.iter().map(of).sum::<u64>();
    let report = &record.report;
    assert_eq!((sum(|at| at.sent), sum(|at| at.acked)), (3_000, 3_000));
    assert_eq!(
        (sum(|at| at.requests), sum(|at| at.retries)),
        (report.requests.total, report.requests.retries)
    );
    assert_eq!(
        (sum(|at| at.payload_bytes), sum(|at| at.body_bytes)),
        (report.payload_bytes, report.body_bytes)
    );
    assert_eq!(sum(|at| at.latency_us.count()), report.latency_ms.count);
    assert_eq!(record.latency_us.count(), report.latency_ms.count);
    assert!(record.intervals.len() >= 2 && report.requests.retries == 2);
    assert_eq!(record.intervals[0].at, 0);
    let longest = record.intervals.iter().filter_map(|at| at.latency_ms).map(|times| times.max);
    let longest = longest.fold(0.0, f64::max);
    assert!((report.latency_ms.max..=report.latency_ms.max * 1.017).contains(&longest), "{longest}");
    assert_eq!(record.percentiles.last().unwrap().0, 1.0);
    assert!(record.server.len() > 1 && record.server.iter().all(|sample| sample.rss_bytes > 0));
    let commits = &record.metrics.series["forebay_log_commits_total"];
    assert_eq!((commits[0], commits.len()), (Some(1.0), admin.asked.load(Ordering::Relaxed) as usize));
    assert!(commits.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(record.metrics.at.len(), commits.len());
    let again = folder.path().join("again.record");
    record.write(&again).unwrap();
    assert_eq!(Record::read(&again).unwrap(), record);
}

/// A run of two seconds with an error in it.
fn recorded(folder: &Path, name: &str, args: &[&str]) -> std::path::PathBuf {
    let server = Server::start(folder, |request| if request == 7 { Act::Fail } else { Act::Keep });
    let path = folder.join(format!("{name}.record"));
    let pid = std::process::id().to_string();
    let fixed = [
        "run",
        "--stream",
        "events",
        "--url",
        &server.url,
        "--batch",
        "20",
        "--run-name",
        name,
        "--server-pid",
        &pid,
        "--record",
        text(&path),
    ];
    load(&[&fixed, args, &["--duration", "1300ms"]].concat());
    path
}

#[test]
fn a_page_needs_nothing_else_and_a_picture_has_the_same_plots() {
    let folder = tempfile::tempdir().unwrap();
    let record = recorded(folder.path(), "a", &["--rate", "2000"]);
    let (html, png) = (folder.path().join("out.html"), folder.path().join("out.png"));
    let done = load(&["report", text(&record), "--html", text(&html), "--png", text(&png)]);
    assert!(done.status.success(), "{done:?}");
    let page = std::fs::read_to_string(&html).unwrap();
    for needle in ["Throughput [records/s]", "Latency over time", "99.9 %", "CPU of the server", "internal"] {
        assert!(page.contains(needle), "{needle}");
    }
    // The name of SVG is not fetched.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg ").count(), page.matches("</svg>").count());
    let picture = std::fs::read(&png).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert!(!load(&["report", text(&record)]).status.success());
    assert!(!load(&["report", text(&html), "--html", text(&png)]).status.success());
}

/// The record of a run of 12 s that acked `rate` records a second, give or take a few.
fn steady(folder: &Path, name: &str, rate: u64) -> std::path::PathBuf {
    let path = recorded(folder, name, &["--rate", &rate.to_string()]);
    let mut record = Record::read(&path).unwrap();
    let second = |at: u64| {
        let acked = rate + at * 7 % 5;
        let mut interval = forebay_load::record::Interval {
            at,
            sent: acked,
            acked,
            requests: acked / 20,
            payload_bytes: acked * 700,
            latency_us: [(900 + at % 3, acked / 20)].into_iter().collect(),
            ..Default::default()
        };
        interval.summarise();
        interval
    };
    record.intervals = (0..12).map(second).collect();
    record.report.seconds = 12.0;
    record.write(&path).unwrap();
    path
}

#[test]
fn two_runs_are_compared_and_what_is_worse_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (fast, slow) = (steady(folder.path(), "fast", 2_000), steady(folder.path(), "slow", 500));
    let (html, png) = (folder.path().join("out.html"), folder.path().join("out.png"));
    let files = ["--html", text(&html), "--png", text(&png)];
    let compare =
        |a: &Path, b: &Path| load(&[&["compare", "--fail-if-worse", text(a), text(b)], &files[..]].concat());
    let worse = compare(&fast, &slow);
    let told = String::from_utf8(worse.stdout).unwrap();
    assert_eq!(worse.status.code(), Some(1), "{told}");
    let row = told.lines().find(|line| line.starts_with("records/s acked")).unwrap();
    assert!(row.ends_with("WORSE") && row.contains("0.25"), "{row}");
    assert!(told.contains("not the same: rate: 2000.0 and 500.0"), "{told}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("A: acked") && page.contains("B: p99") && png.exists());
    let same = compare(&fast, &fast);
    assert_eq!(same.status.code(), Some(0));
    assert!(!String::from_utf8(same.stdout).unwrap().contains("WORSE"));
}

#[test]
fn a_ramp_is_made_of_runs_and_its_knee_is_the_highest_that_was_sustained() {
    ramp_of("1");
}

/// All processes make the same steps at the same time, and one knee is found.
#[test]
fn a_ramp_of_several_processes_is_as_one_of_one() {
    ramp_of("2");
}

/// Where the knee is depends on the clock, and that is for the tests of the module; here it is where the steps say.
fn ramp_of(processes: &str) {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    // The first step has ten requests, the second has twenty: not all of the third can be answered, however fast.
    let server = Server::start(&lake, |request| if request < 40 { Act::Keep } else { Act::Fail });
    let (json, html) = (folder.path().join("ramp.json"), folder.path().join("ramp.html"));
    let (record, manifest) = (folder.path().join("ramp.record"), folder.path().join("ramp.manifest"));
    let done = load(&[
        "run",
        "--stream",
        "events",
        "--url",
        &server.url,
        "--batch",
        "10",
        "--ramp",
        "100",
        "--ramp-factor",
        "2",
        "--ramp-step",
        "1s",
        "--ramp-latency",
        "60s",
        "--ramp-refine",
        "1",
        "--json",
        text(&json),
        "--ramp-html",
        text(&html),
        "--processes",
        processes,
        "--record",
        text(&record),
        "--manifest",
        text(&manifest),
    ]);
    let told = String::from_utf8(done.stdout).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let sustained = found["steps"].as_array().unwrap().iter().filter(|step| step["limit"].is_null());
    let highest = sustained.map(|step| step["rate"].as_f64().unwrap()).reduce(f64::max);
    assert_eq!((found["knee"].as_f64(), found["is_saturated"].as_bool()), (highest, Some(true)), "{told}");
    assert_eq!(
        (done.status.success(), told.contains("knee ")),
        (highest.is_some(), highest.is_some()),
        "{told}"
    );
    // Each step is one run, at the rate and over the connections of all processes.
    for step in found["steps"].as_array().unwrap() {
        assert_eq!(step["report"]["settings"]["rate"], step["rate"]);
        assert_eq!(step["report"]["settings"]["connections"], 8);
    }
    let acked: u64 = Record::read(&record).unwrap().intervals.iter().map(|at| at.acked).sum();
    let steps = found["steps"].as_array().unwrap();
    let of_steps: u64 = steps.iter().map(|step| step["report"]["records"]["acked"].as_u64().unwrap()).sum();
    assert_eq!(acked, of_steps);
    assert!(std::fs::read_to_string(&html).unwrap().contains("Latency over rate"));
    let verdict = load(&["verify", text(&lake), "--manifest", text(&manifest)]);
    assert!(verdict.status.success(), "{}", String::from_utf8(verdict.stdout).unwrap());
}

#[test]
fn several_processes_are_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let server = Server::start(&lake, |_| Act::Keep);
    let (record, manifest) = (folder.path().join("run.record"), folder.path().join("run.manifest"));
    let done = load(&[
        "run",
        "--stream",
        "events",
        "--url",
        &server.url,
        "--batch",
        "10",
        "--records",
        "3000",
        "--processes",
        "3",
        "--connections",
        "7",
        "--record",
        text(&record),
        "--manifest",
        text(&manifest),
    ]);
    assert!(done.status.success(), "{done:?}");
    let report = Record::read(&record).unwrap().report;
    assert_eq!((report.records.acked, report.settings.connections), (3_000, 7));
    assert_eq!((report.requests.total, report.latency_ms.count), (server.requests(), server.requests()));
    let verdict = load(&["verify", text(&lake), "--manifest", text(&manifest)]);
    let told = String::from_utf8(verdict.stdout).unwrap();
    assert!(verdict.status.success() && told.contains("expected 3000"), "{told}");
    // Nobody listens: that is said, and nothing stays behind.
    let failed = load(&["run", "--url", "http://127.0.0.1:1", "--records", "10", "--processes", "2"]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8(failed.stderr).unwrap().contains("cannot connect"));
}
