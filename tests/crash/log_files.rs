//! What stands in the files of the log after an interrupted write, and what a damaged disk makes of them.
//!
//! Offsets are those that `forebay::stream::wal` describes: a segment's header has 4,096 bytes, commits follow back to
//! back, each with a header of 40 bytes and frames with headers of 48.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use crate::chance::{self, Chance};
use crate::node::Node;
use crate::table::{self, Row};

const SEGMENT_HEADER: usize = 4_096;
const COMMIT_HEADER: usize = 40;
const FRAME_BATCH: u8 = 1;

/// Records, one a request and so one a commit.
const RECORDS: u64 = 24;

/// A stream whose delivery has not touched anything yet: a log that is cut must not contradict a ledger.
const PIPELINE: &str = "[stream]\nname = \"s\"\nshards = 1\n[ingest]\npartition_key = \"/k\"\n[[delivery]]\nname = \"d\"\n\
                        format = \"json\"\nprefix = \"\"\nbuffer = { size = \"64MiB\", interval = \"1h\" }\n";

/// A node's data as it was left by SIGKILL, to be damaged again and again.
struct Scene {
    node: Node,
    segment: PathBuf,
    bytes: Vec<u8>,
    commits: Vec<Commit>,
}

struct Commit {
    bytes: Range<usize>,
    records: u64,
}

impl Scene {
    fn make() -> Self {
        let mut node = Node::new("[log]\nsegment = \"4MiB\"", &[("s.toml", PIPELINE.to_owned())]);
        node.start();
        for n in 0..RECORDS {
            send(&node, n);
        }
        node.kill();
        node.set_aside();
        let folder = node.path().join("kept/log/fsync");
        let mut segments: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
        assert_eq!(segments.len(), 1, "{segments:?}");
        let bytes = fs::read(&segments[0]).unwrap();
        let commits = commits(&bytes);
        assert_eq!(commits.iter().map(|commit| commit.records).sum::<u64>(), RECORDS);
        let segment = segments[0].strip_prefix(node.path().join("kept")).unwrap().to_owned();
        Self { node, segment, bytes, commits }
    }

    /// Puts the data back, with the segment changed.
    fn put(&self, segment: &[u8]) {
        self.node.restore();
        fs::write(self.node.path().join("data").join(&self.segment), segment).unwrap();
    }

    /// How many records stand in commits that `changed` has as they were.
    fn whole(&self, changed: &[u8]) -> u64 {
        let is_whole = |commit: &&Commit| {
            changed.get(commit.bytes.clone()).is_some_and(|bytes| bytes == &self.bytes[commit.bytes.clone()])
        };
        self.commits.iter().take_while(is_whole).map(|commit| commit.records).sum()
    }

    /// Starts on the changed segment. It must accept it and show the first `expected` records and no other.
    fn accepts(&mut self, changed: &[u8], expected: u64, what: &str) {
        self.put(changed);
        self.node.start();
        assert_eq!(numbers(&self.node), (0..expected).collect::<Vec<_>>(), "{what}\n{}", self.node.log());
    }

    /// What was cut off must not come back, and what is written in its place must stay.
    fn goes_on(&mut self, expected: u64, what: &str) {
        send(&self.node, 1_000);
        self.node.kill();
        self.node.start();
        let known: Vec<_> = (0..expected).chain([1_000]).collect();
        assert_eq!(numbers(&self.node), known, "{what}\n{}", self.node.log());
    }
}

fn commits(segment: &[u8]) -> Vec<Commit> {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let mut commits = Vec::new();
    let mut at = SEGMENT_HEADER;
    while segment.get(at..at + 4) == Some(b"FBCM") {
        let end = at + number(at + 4);
        let (mut frame, mut records) = (at + COMMIT_HEADER, 0);
        while frame < end {
            let is_batch = segment[frame + 12] == FRAME_BATCH;
            records += if is_batch { number(frame + 20) as u64 } else { 0 };
            frame += number(frame + 8);
        }
        commits.push(Commit { bytes: at..end, records });
        at = end;
    }
    commits
}

fn send(node: &Node, n: u64) {
    let (status, reply) =
        node.request("POST", "/v1/streams/s/records", &format!("{{\"k\":\"key {n}\",\"n\":{n}}}"));
    assert_eq!(status, 200, "{reply}");
}

fn numbers(node: &Node) -> Vec<u64> {
    let (status, page) = node.request("GET", "/v1/streams/s/records?from=earliest&limit=1000", "");
    assert_eq!(status, 200, "{page}");
    let records = page["records"].as_array().unwrap().iter();
    records.map(|record: &Value| record["data"]["n"].as_u64().unwrap()).collect()
}

/// What a write that was interrupted at `at` may leave of a commit.
fn torn(whole: &[u8], commit: &Range<usize>, at: usize, kind: usize) -> Vec<u8> {
    let mut torn = whole.to_vec();
    match kind {
        // Nothing from there on.
        0 => torn[at..commit.end].fill(0),
        // A hole of a sector: later ones came first.
        1 => torn[at..commit.end.min(at + 512)].fill(0),
        // What the disk had there before.
        _ => torn[at..commit.end].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7)),
    }
    torn
}

#[test]
fn a_log_that_ends_in_a_torn_commit_is_cut_there_and_goes_on() {
    let name = "log torn at byte offsets of its last commits";
    let (mut chance, mut scene) = (Chance::of(name), Scene::make());
    let last = scene.commits.last().unwrap().bytes.clone();
    let offsets = match chance::is_long() {
        true => last.clone().collect(),
        false => chance.sample(last.clone(), 10),
    };
    let mut row = Row { name: name.into(), ..Row::default() };
    for (number, at) in offsets.iter().enumerate() {
        let kind = number % 3;
        let what = format!("torn at {at} of {last:?} in way {kind}, seed {}", chance.seed);
        let changed = torn(&scene.bytes, &last, *at, kind);
        let expected = scene.whole(&changed);
        scene.accepts(&changed, expected, &what);
        row.acked += expected;
        if number % 8 == 0 {
            scene.goes_on(expected, &what);
            row.acked += 1;
        }
        scene.node.kill();
        row.kills += 1;
    }
    // Cut at the begin of each commit: what a crash leaves between two of them.
    for commit in (0..scene.commits.len()).rev().step_by(5) {
        let mut changed = scene.bytes.clone();
        changed[scene.commits[commit].bytes.start..].fill(0);
        let expected = scene.whole(&changed);
        scene.accepts(&changed, expected, "cut between commits");
        scene.node.kill();
        (row.acked, row.kills) = (row.acked + expected, row.kills + 1);
    }
    row.delivered = row.acked;
    row.note = format!("read back through the tap; {} offsets, seed {}", offsets.len(), chance.seed);
    table::keep(&row);
}

#[test]
fn a_flipped_byte_behind_which_whole_commits_stand_stops_the_start_with_its_position() {
    let name = "bytes flipped in the log";
    let (mut chance, mut scene) = (Chance::of(name), Scene::make());
    let last = scene.commits.last().unwrap().bytes.clone();
    let count = if chance::is_long() { 150 } else { 6 };
    let file = scene.segment.file_name().unwrap().to_str().unwrap().to_owned();
    let positions = chance.sample(SEGMENT_HEADER..last.start, count);
    for at in &positions {
        let mut changed = scene.bytes.clone();
        changed[*at] ^= 1 << (chance.up_to(8) - 1);
        scene.put(&changed);
        let said = scene.node.refusal();
        let commit = scene.commits.iter().find(|commit| commit.bytes.contains(at)).unwrap();
        let names_it = said.contains(&file) && said.contains(&commit.bytes.start.to_string());
        assert!(names_it, "byte {at} of {file}, in the commit at {}: {said}", commit.bytes.start);
        let found = fs::read(scene.node.path().join("data").join(&scene.segment)).unwrap();
        assert!(found == changed, "a segment with damage was changed");
    }
    // In the header, anywhere.
    for at in chance.sample(0..SEGMENT_HEADER, 4) {
        let mut changed = scene.bytes.clone();
        changed[at] ^= 1 << (chance.up_to(8) - 1);
        scene.put(&changed);
        let said = scene.node.refusal();
        assert!(said.contains(&file), "byte {at} of {file}: {said}");
    }
    // In the last commit it cannot be told from an interrupted write, and behind it there is nothing.
    let mut row = Row { name: name.into(), ..Row::default() };
    for at in chance.sample(last.clone(), 3).into_iter().chain([last.end + 4_096]) {
        let mut changed = scene.bytes.clone();
        changed[at] ^= 0x10;
        let expected = scene.whole(&changed);
        scene.accepts(&changed, expected, &format!("byte {at} behind the last but one commit"));
        scene.node.kill();
        (row.acked, row.kills) = (row.acked + expected, row.kills + 1);
    }
    row.delivered = row.acked;
    row.note = format!("{} starts refused with the position, seed {}", positions.len() + 4, chance.seed);
    table::keep(&row);
}
