//! SIGKILL at any time.

use std::time::Duration;

use rustix::process::Signal;

use crate::chance::{self, Chance};
use crate::trial::{Setup, Trial};

/// From the begin of a life to its end: one half dies while it starts or soon after, …
const EARLY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(400));
/// … and the other when files are closed, stored and committed, of which the first is a second old.
const LATE: (Duration, Duration) = (Duration::from_millis(900), Duration::from_millis(3_000));

/// Of so many lives, one ends with SIGTERM, and in that one, half-way.
const DRAINED: u64 = 8;

fn kills_at_random_times(name: &str, setup: &Setup, kills: u64) {
    let mut chance = Chance::of(name);
    let mut trial = Trial::begin(name, setup);
    trial.progress(100);
    while trial.row.kills < kills {
        // Also while it starts, because the pause begins with the process.
        let (least, most) = if chance.once_in(2) { EARLY } else { LATE };
        std::thread::sleep(chance.pause(least, most));
        if chance.once_in(DRAINED) && trial.node.listens_already() {
            trial.node.signal(Signal::TERM);
            std::thread::sleep(chance.pause(EARLY.0, LATE.1));
            if trial.node.ends_within(Duration::ZERO).is_none() {
                trial.kill();
            }
        } else {
            trial.kill();
        }
        trial.node.launch(None);
    }
    assert!(trial.node.listens(), "{}", trial.node.log());
    trial.progress(500);
    trial.row.note = format!("seed {}", chance.seed);
    trial.end();
}

#[test]
fn nothing_is_lost_or_doubled_when_the_process_is_killed_at_random_times() {
    let kills = chance::kills(8);
    kills_at_random_times("SIGKILL at random times, durability fsync", &Setup::default(), kills);
}

#[test]
fn the_page_cache_survives_the_process() {
    let setup = Setup { durability: "os", ..Setup::default() };
    kills_at_random_times("SIGKILL at random times, durability os", &setup, chance::kills(8) / 4);
}

#[test]
fn a_plain_thread_writes_as_safely_as_the_ring() {
    let log = "segment = \"4MiB\"\nwriter = \"thread\"".into();
    let setup = Setup { log, ..Setup::default() };
    kills_at_random_times("SIGKILL at random times, writer thread", &setup, chance::kills(8) / 4);
}

#[test]
fn large_records_fill_segments_faster_than_they_are_killed() {
    let setup = Setup { record_bytes: 6_000, rate: 400.0, batch: 10, ..Setup::default() };
    kills_at_random_times("SIGKILL at random times, many segments", &setup, chance::kills(8) / 4);
}
