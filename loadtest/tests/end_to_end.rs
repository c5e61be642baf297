//! Load over real sockets into a lake, and the lake judged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use forebay::testkit::generators::Profile;
use forebay_load::manifest::{Account, Manifest};
use forebay_load::ranges::RangeSet;
use forebay_load::run::workload::{Class, Protocol};
use forebay_load::run::{Compression, Mode, Outcome, Plan, RunError, Source, Target, run};
use forebay_load::verify::{self, KeyRule, Verdict};
use server::{Act, Server};

fn plan(server: &Server) -> Plan {
    Plan {
        target: Target::parse(&server.url).unwrap(),
        authorization: None,
        stream: "events".into(),
        source: Source::Profile(Profile::Clickstream),
        mode: Mode::Closed,
        connections: 4,
        threads: 2,
        feeders: 2,
        producers: 6,
        duration: None,
        records: Some(2_000),
        batch: 30,
        record_bytes: 0,
        keys: 50,
        zipf: 1.0,
        compression: Compression::None,
        seed: 5,
        run_name: "test".into(),
        retry: None,
        idempotent: false,
        timeout: Duration::from_secs(20),
        server_pid: None,
        settle: Duration::ZERO,
        ..Plan::default()
    }
}

fn go(plan: &Plan) -> Outcome {
    run(plan, Arc::new(AtomicBool::new(false)), &mut |_| {}).unwrap()
}

fn judge(lake: &Path, manifest: Option<&Manifest>) -> Verdict {
    let plan = verify::Plan {
        lakes: vec![lake.to_str().unwrap().to_owned()],
        options: vec![],
        manifests: manifest.cloned().into_iter().collect(),
        key: KeyRule::Profile,
        errors_folder: "errors".into(),
        jobs: 2,
    };
    verify::verify(&plan, &mut |_| {}).unwrap().remove(0)
}

const RETRY: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn what_was_acked_is_in_the_lake_for_all_profiles_and_encodings() {
    for (profile, compression) in [
        (Profile::Clickstream, Compression::None),
        (Profile::Iot, Compression::Gzip),
        (Profile::Telemetry, Compression::Zstd),
    ] {
        let lake = tempfile::tempdir().unwrap();
        let server = Server::start(lake.path(), |_| Act::Keep);
        let outcome = go(&Plan { source: Source::Profile(profile), compression, ..plan(&server) });
        assert!(outcome.is_success());
        let report = &outcome.report;
        assert_eq!((report.records.acked, report.requests.total), (2_000, server.requests()));
        assert_eq!(report.durability.as_deref(), Some("memory"));
        assert_eq!(report.latency_ms.count, report.requests.total);
        assert_eq!(compression == Compression::None, report.body_bytes == report.payload_bytes);
        for manifest in [None, Some(&outcome.manifest)] {
            let verdict = judge(lake.path(), manifest);
            assert!(verdict.ok, "{verdict}");
            assert_eq!(verdict.records + verdict.dead_lettered, 2_000);
            assert_eq!((verdict.expected, verdict.producers), (2_000, 6));
        }
    }
}

#[test]
fn single_events_are_sent_as_json_on_schedule() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let open = Plan { mode: Mode::Open { rate: 2_000.0 }, batch: 1, records: Some(300), ..plan(&server) };
    let outcome = go(&open);
    assert_eq!((outcome.report.records.acked, server.single_events()), (300, 300));
    // 300 at 2,000 a second: the last one is due after 149.5 ms, never before.
    assert!(outcome.report.seconds >= 0.149);
    assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
}

#[test]
fn a_stall_of_the_server_is_seen_by_every_request_that_was_due_meanwhile() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |request| match request {
        20 => Act::Stall(Duration::from_millis(600)),
        _ => Act::Keep,
    });
    let rate = Mode::Open { rate: 200.0 };
    let open =
        Plan { mode: rate, batch: 1, connections: 1, producers: 1, records: Some(200), ..plan(&server) };
    let report = go(&open).report;
    // One reply took long; requests of 600 ms, about 120, were late because of it.
    assert!(report.service_ms.max >= 590.0);
    assert!(report.service_ms.p90 * 4.0 < report.service_ms.max, "{:?}", report.service_ms);
    assert!(report.latency_ms.p50 > report.service_ms.p90, "{:?}", report.latency_ms);
    assert!(report.latency_ms.p90 * 2.0 > report.service_ms.max, "{:?}", report.latency_ms);
}

#[test]
fn a_throttled_request_is_sent_again_and_counted_once() {
    let lake = tempfile::tempdir().unwrap();
    let policy = |request: u64| if request.is_multiple_of(3) { Act::Throttle("0") } else { Act::Keep };
    let server = Server::start(lake.path(), policy);
    let outcome = go(&Plan { retry: RETRY, ..plan(&server) });
    let report = &outcome.report;
    assert!(outcome.is_success() && report.requests.retries > 0);
    assert_eq!((report.records.acked, report.records.uncertain), (2_000, 0));
    assert_eq!(server.requests(), report.requests.total + report.requests.retries);
    assert_eq!((report.errors[0].status, report.errors[0].code.as_str()), (Some(429), "throttled"));
    assert_eq!(report.errors[0].count, report.requests.retries);
    assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
}

#[test]
fn without_retry_a_throttled_request_is_refused_for_good_and_not_missed() {
    let lake = tempfile::tempdir().unwrap();
    let policy = |request: u64| if request.is_multiple_of(3) { Act::Throttle("1") } else { Act::Keep };
    let server = Server::start(lake.path(), policy);
    let outcome = go(&plan(&server));
    let report = &outcome.report;
    assert!(!outcome.is_success() && report.requests.retries == 0);
    assert_eq!(report.records.acked + report.records.refused, 2_000);
    assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
    assert!(judge(lake.path(), None).missing > 0);
}

#[test]
fn a_broken_connection_makes_records_uncertain_and_never_acks_them_twice() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |request| if request % 7 == 2 { Act::HangUp } else { Act::Keep });
    let outcome = go(&Plan { retry: RETRY, ..plan(&server) });
    let report = &outcome.report;
    assert!(outcome.is_success());
    assert_eq!((report.records.acked, report.records.unknown), (2_000, 0));
    assert!(report.records.uncertain > 0);
    let verdict = judge(lake.path(), Some(&outcome.manifest));
    assert!(verdict.ok && verdict.uncertain_duplicated >= report.records.uncertain, "{verdict}");
    assert!(judge(lake.path(), None).duplicated > 0);
}

#[test]
fn without_retry_a_broken_connection_leaves_it_open_whether_records_are_there() {
    let lake = tempfile::tempdir().unwrap();
    let policy = |request: u64| match request % 7 {
        2 => Act::HangUp,
        4 => Act::Fail,
        _ => Act::Keep,
    };
    let server = Server::start(lake.path(), policy);
    let outcome = go(&plan(&server));
    let records = &outcome.report.records;
    assert!(!outcome.is_success());
    assert_eq!((records.acked + records.unknown, records.uncertain), (2_000, 0));
    // Of two requests without a success, the server keeps one.
    let verdict = judge(lake.path(), Some(&outcome.manifest));
    assert!(
        verdict.ok && 0 < verdict.unknown_present && verdict.unknown_present < records.unknown,
        "{verdict}"
    );
}

#[test]
fn a_request_with_a_key_is_tried_again_after_every_failure_and_kept_once() {
    let lake = tempfile::tempdir().unwrap();
    let policy = |request: u64| match request % 7 {
        2 => Act::HangUp,
        4 => Act::LogFailed,
        5 => Act::DiskFull,
        _ => Act::Keep,
    };
    let server = Server::start(lake.path(), policy);
    let outcome = go(&Plan { retry: RETRY, idempotent: true, ..plan(&server) });
    let records = &outcome.report.records;
    assert!(outcome.is_success() && outcome.report.requests.retries > 0);
    assert_eq!((records.acked, records.unknown, records.uncertain), (2_000, 0, 0));
    let verdict = judge(lake.path(), Some(&outcome.manifest));
    assert!(verdict.ok && verdict.uncertain_duplicated == 0 && judge(lake.path(), None).ok, "{verdict}");
    assert_eq!(server.keys(), outcome.report.requests.total);
}

#[test]
fn a_server_that_ignores_keys_is_found_out() {
    let lake = tempfile::tempdir().unwrap();
    let policy = |request: u64| if request % 7 == 2 { Act::HangUp } else { Act::Keep };
    let server = Server::start(lake.path(), policy).without_keys();
    let outcome = go(&Plan { retry: RETRY, idempotent: true, ..plan(&server) });
    let verdict = judge(lake.path(), Some(&outcome.manifest));
    assert!(!verdict.ok && verdict.duplicated > 0 && verdict.missing == 0, "{verdict}");
}

#[test]
fn a_run_goes_on_when_the_server_is_away_for_a_while() {
    goes_on_without_the_server(&|plan| plan);
    for protocol in [Protocol::Native, Protocol::Http2] {
        goes_on_without_the_server(&|plan| piped(plan, protocol));
    }
}

/// The same with eight requests under way on each of two connections.
fn piped(plan: Plan, protocol: Protocol) -> Plan {
    let mix = vec![Class { protocol, ..plan.whole() }];
    Plan { mix, connections: 2, pipeline: 8, producers: 20, ..plan }
}

/// Nothing is lost, doubled or out of order when all connections break in the middle.
fn goes_on_without_the_server(change: &dyn Fn(Plan) -> Plan) {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let mode = Mode::Open { rate: 4_000.0 };
    let plan = change(Plan { mode, retry: RETRY, idempotent: true, ..plan(&server) });
    let running = std::thread::spawn(move || go(&plan));
    while server.requests() < 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let rest = server.stop();
    std::thread::sleep(Duration::from_millis(100));
    let _server = rest.start();
    let outcome = running.join().unwrap();
    assert!(outcome.is_success() && outcome.report.errors.iter().any(|error| error.code == "not_sent"));
    assert!(outcome.report.errors.iter().all(|error| error.code != "timeout"), "{}", outcome.report);
    assert_eq!(outcome.report.records.acked, 2_000);
    assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
}

/// Without `--retry` what had no answer stays unknown, and what was sent is acked, refused or unknown: nothing is lost
/// from the manifest.
#[test]
fn what_is_under_way_when_a_stream_breaks_is_unknown_and_all_is_written_down() {
    for protocol in [Protocol::Native, Protocol::Http2] {
        let lake = tempfile::tempdir().unwrap();
        let server =
            Server::start(lake.path(), |request| if request % 9 == 5 { Act::HangUp } else { Act::Keep });
        let plan = piped(plan(&server), protocol);
        let outcome = go(&plan);
        let records = &outcome.report.records;
        assert!(records.unknown > 0 && records.acked > 0, "{}", outcome.report);
        assert_eq!(records.acked + records.refused + records.unknown, 2_000);
        let written = |account: &Account| {
            let refused: u64 = account.refused.values().map(RangeSet::count).sum();
            account.acked.count() + account.unknown.count() + refused
        };
        assert_eq!(outcome.manifest.producers.iter().map(written).sum::<u64>(), 2_000);
        assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
    }
}

#[test]
fn what_was_never_answered_is_unknown_once_patience_is_over() {
    let retry = Some(Duration::from_millis(200));
    // With a key, a server that keeps each try is wrong; without one, it cannot know better.
    for idempotent in [true, false] {
        let lake = tempfile::tempdir().unwrap();
        let policy = |request: u64| if request < 20 { Act::Keep } else { Act::HangUp };
        let server = Server::start(lake.path(), policy).without_keys();
        let plan = Plan { retry, idempotent, connections: 2, ..plan(&server) };
        let stop = Arc::new(AtomicBool::new(false));
        let outcome = run(&plan, Arc::clone(&stop), &mut |progress| {
            stop.store(progress.failed > 2, std::sync::atomic::Ordering::Relaxed);
        });
        let outcome = outcome.unwrap();
        assert!(!outcome.is_success() && outcome.report.records.unknown > 0);
        let verdict = judge(lake.path(), Some(&outcome.manifest));
        assert_eq!((verdict.duplicated == 0, verdict.missing), (!idempotent, 0), "{verdict}");
        assert_eq!(outcome.report.records.uncertain > 0, !idempotent);
    }
}

#[test]
fn refused_records_are_told_one_by_one() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::RefuseSome);
    let outcome = go(&plan(&server));
    let records = &outcome.report.records;
    assert!(outcome.is_success());
    assert_eq!(records.acked + records.refused, 2_000);
    assert_eq!(outcome.report.errors.len(), 1);
    assert_eq!(outcome.report.errors[0].count, records.refused);
    assert!(judge(lake.path(), Some(&outcome.manifest)).ok);
}

#[test]
fn a_server_that_loses_or_doubles_records_is_found_out() {
    for (wrong, expected) in [(Act::Lose, (30, 0)), (Act::KeepTwice, (0, 30))] {
        let lake = tempfile::tempdir().unwrap();
        let policy = move |request: u64| if request == 5 { wrong } else { Act::Keep };
        let server = Server::start(lake.path(), policy);
        let outcome = go(&plan(&server));
        assert!(outcome.is_success());
        let verdict = judge(lake.path(), Some(&outcome.manifest));
        assert_eq!((verdict.missing, verdict.duplicated), expected, "{verdict}");
        assert!(!verdict.ok);
    }
}

#[test]
fn a_file_is_replayed_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    let lines: Vec<_> =
        (0..103).map(|number| format!("{{ \"n\": {number}.50, \"s\":\"\\u00e9\" }}")).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let lake = folder.path().join("lake");
    let server = Server::start(&lake, |_| Act::Keep);
    let replay = Plan { source: Source::File(file), records: None, ..plan(&server) };
    let outcome = go(&replay);
    assert_eq!(outcome.report.records.acked, 103);
    let verdict = judge(&lake, Some(&outcome.manifest));
    assert!(verdict.ok && verdict.hash_unchecked == 0, "{verdict}");
    assert_eq!(verdict.records + verdict.dead_lettered, 103);
}

#[test]
fn a_run_ends_when_its_time_is_over_or_it_is_stopped() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let mode = Mode::Open { rate: 3_000.0 };
    let timed = Plan { mode, duration: Some(Duration::from_millis(200)), records: None, ..plan(&server) };
    // In 200 ms, 20 requests of 30 records are due at 3,000 records a second.
    assert_eq!(go(&timed).report.requests.total, 20);
    let endless = Plan { duration: Some(Duration::from_secs(3_600)), run_name: "other".into(), ..timed };
    let stop = Arc::new(AtomicBool::new(false));
    let mut ticks = 0;
    let outcome = run(&endless, Arc::clone(&stop), &mut |progress| {
        ticks += 1;
        stop.store(progress.records >= 300, std::sync::atomic::Ordering::Relaxed);
    });
    let outcome = outcome.unwrap();
    assert!(outcome.report.records.acked >= 300 && ticks > 1);
    assert!(judge(lake.path(), Some(&outcome.manifest)).missing == 0);
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let refused = |plan: Plan| run(&plan, Arc::default(), &mut |_| {}).err();
    assert!(matches!(refused(Plan { producers: 3, ..plan(&server) }), Some(RunError::Plan(_))));
    assert!(matches!(refused(Plan { records: None, ..plan(&server) }), Some(RunError::Plan(_))));
    assert!(matches!(refused(Plan { keys: 0, ..plan(&server) }), Some(RunError::Keys(_))));
    assert!(matches!(
        refused(Plan { server_pid: Some(u32::MAX), ..plan(&server) }),
        Some(RunError::ServerPid { .. })
    ));
    let gone = Target::parse("http://127.0.0.1:1").unwrap();
    assert!(matches!(refused(Plan { target: gone, ..plan(&server) }), Some(RunError::Connect { .. })));
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_run_that_is_told_to_end_leaves_its_manifest() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::INT, Signal::TERM] {
        let (lake, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = Server::start(lake.path(), |_| Act::Keep);
        let path = folder.path().join("manifest.json");
        let mut child = Command::new(env!("CARGO_BIN_EXE_forebay-load"))
            .args(["run", "--stream", "events", "--duration", "1h", "--rate", "2000", "--url", &server.url])
            .arg("--manifest")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while server.requests() < 5 {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let manifest = Manifest::read(&path).unwrap();
        let acked: u64 = manifest.producers.iter().map(|account| account.acked.count()).sum();
        assert!(acked >= 500 && judge(lake.path(), Some(&manifest)).ok, "{acked}");
    }
}
