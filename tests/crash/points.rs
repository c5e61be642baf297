//! Death at each named point, which chance would hardly ever hit.

use std::time::{Duration, Instant};

use forebay::runtime::crash_point::POINTS;
use rustix::process::Signal;

use crate::chance::{self, Chance};
use crate::trial::{Setup, Trial};

/// How long a process under load may take to come by a point: a snapshot of a ledger is not written every second.
const PASSING: Duration = Duration::from_secs(30);

/// A point, and the passing up to which it may strike.
type Strike = (&'static str, u64);

const LOG: &[Strike] = &[
    ("log.write.before", 40),
    ("log.write.after", 40),
    ("log.publish.before", 40),
    ("log.segment.rename", 2),
    ("log.index.rename", 2),
];
const DELIVERY: &[Strike] = &[
    ("ledger.seal.before", 10),
    ("ledger.seal.after", 10),
    ("upload.before", 10),
    ("upload.after", 10),
    ("ledger.commit.before", 10),
    ("ledger.commit.after", 10),
    ("ledger.cursor.after", 3),
    ("ledger.snapshot.rename", 1),
];
/// Passed by a folder's first start alone.
const FIRST_START: &[Strike] = &[("node.rename", 1), ("catalog.rename", 1)];
const DRAIN: &str = "drain.begin";
/// Passed when a client changes shards.
const RESHARD: &str = "reshard.noted";
/// Objects of several parts: see the rows of object stores.
const PARTS: &[&str] = &[
    "upload.multipart.created",
    "upload.multipart.begun",
    "upload.part",
    "stream.begun",
    "stream.part",
    "stream.complete",
];
/// The same in a folder.
const GROWING: &[Strike] =
    &[("stream.begun", 2), ("stream.part", 3), ("stream.complete", 2), ("stream.rename", 2)];

/// Passed when a client of Firehose makes or changes deliveries: see `tests/e2e/aws/live.rs` and `live_source.rs`.
const DELIVERIES: &[&str] = &["deliveries.begun", "deliveries.noted"];

/// Passed by a delivery into Kafka: see `tests/kafka/fan_out.rs`.
const FAN_OUT: [&str; 2] = ["fan_out.commit.before", "fan_out.commit.after"];

/// Passed while records go through a function: see `tests/e2e/aws/functions.rs`.
const FUNCTION: [&str; 2] = ["function.noted", "function.appended"];

/// Of `forebay dlq replay`, which is another process: see `tests/e2e/dlq/`.
const REPLAY: &[&str] = &["replay.send.before", "replay.send.after"];

fn dies_at_all(name: &str, setup: &Setup, strikes: &[Strike]) {
    let mut chance = Chance::of(name);
    let mut trial = Trial::begin(name, setup);
    // A tenth of all kills for each point at most: there are rows of other points, and of random times.
    let rounds = (chance::kills(0) / 10 / strikes.len() as u64).max(1);
    for round in 0..rounds {
        for &(point, most) in strikes {
            trial.progress(20);
            let passing = chance.up_to(most);
            assert!(
                trial.dies_at(point, passing, PASSING),
                "round {round}: nothing came by {point} for the {passing}th time\n{}",
                trial.node.log()
            );
        }
    }
    trial.progress(200);
    trial.row.note = format!("{} points, {rounds} times each", strikes.len());
    trial.end();
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_writes_the_log() {
    let setup = Setup { record_bytes: 4_000, rate: 600.0, batch: 10, ..Setup::default() };
    dies_at_all("killed at each point of the log", &setup, LOG);
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_between_seal_and_cursor() {
    dies_at_all("killed at each point of a delivery", &Setup::default(), DELIVERY);
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_makes_its_folder_or_drains_it() {
    let setup = Setup::default();
    let mut node = setup.node();
    for (point, passing) in FIRST_START {
        node.launch(Some(&format!("{point}:{passing}")));
        assert!(node.ends_within(PASSING).is_some(), "nothing came by {point}\n{}", node.log());
    }
    let mut trial = Trial::on(node, "killed at first start and at the begin of a drain", &setup);
    trial.row.kills = FIRST_START.len() as u64;
    trial.progress(500);
    trial.kill();
    trial.node.launch(Some(&format!("{DRAIN}:1")));
    trial.progress(500);
    trial.node.signal(Signal::TERM);
    assert!(trial.died(PASSING), "nothing came by {DRAIN}\n{}", trial.node.log());
    trial.node.start();
    trial.end();
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_fills_large_files_of_a_folder() {
    let setup = Setup {
        sink: "sink = { path = \"lake/{path}\", multipart = \"5MiB\" }".into(),
        buffer: "{ size = \"12MiB\", interval = \"4s\" }",
        json: "compression = \"none\"",
        record_bytes: 8_000,
        rate: 400.0,
        batch: 10,
        ..Setup::default()
    };
    dies_at_all("killed at each point of a large file", &setup, GROWING);
}

#[test]
fn nothing_is_lost_or_doubled_when_it_dies_while_it_splits_and_merges_shards() {
    let setup = Setup::default();
    let mut chance = Chance::of("reshard");
    let mut trial = Trial::begin("killed when a reshard is written down, and at random after others", &setup);
    let rounds = chance::kills(0).div_ceil(20).max(2);
    for round in 0..rounds {
        trial.progress(50);
        trial.kill();
        trial.node.launch(Some(&format!("{RESHARD}:1")));
        trial.progress(20);
        // More than it can have, so that there is something to be done.
        let wish = format!("{{\"count\":{}}}", 7 + round % 5);
        let began = Instant::now();
        // It answers nothing before it listens, and 503 for as long as it starts; the connection ends with the process.
        let (mut answer, mut died) = (None, false);
        while !died && began.elapsed() < PASSING {
            let is_done = answer.as_ref().is_some_and(|(status, _)| *status != 503);
            if !is_done {
                answer = trial.node.try_request("POST", "/v1/streams/sensors/shards", &wish);
            }
            died = trial.died(Duration::from_millis(20));
        }
        assert!(died, "round {round}: nothing came by {RESHARD}: {answer:?}\n{}", trial.node.log());
        trial.node.start();
        for stream in ["sensors", "clicks"] {
            let path = format!("/v1/streams/{stream}/shards");
            let (status, reply) =
                trial.node.request("POST", &path, &format!("{{\"count\":{}}}", chance.up_to(6)));
            assert_eq!(status, 200, "{reply}");
        }
        trial.progress(20);
    }
    trial.progress(200);
    trial.row.note = format!("{rounds} rounds");
    trial.end();
}

#[test]
fn each_point_has_a_row() {
    let strikes = [LOG, DELIVERY, FIRST_START].concat();
    let others = PARTS.iter().chain(DELIVERIES).chain(REPLAY).copied();
    let mut names: Vec<_> = strikes
        .iter()
        .map(|(name, _)| *name)
        .chain([DRAIN, RESHARD, "stream.rename"])
        .chain(FUNCTION)
        .chain(FAN_OUT)
        .chain(others)
        .collect();
    let mut points = POINTS.to_vec();
    names.sort_unstable();
    points.sort_unstable();
    assert_eq!(names, points);
}
