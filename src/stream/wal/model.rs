//! The log as a whole against a model of it: random requests, reads, retention, faults and crashes.
//!
//! Streams and their journal are the real ones, on a simulated disk. The journal has no threads here: a case does the
//! work of both, round by round, in an order that its seed decides, so that a crash can fall between any two rounds and
//! (by cutting the power) between any two operations of the disk. A case is the same every time, but for the salts of
//! segments, which are random and have no influence on what is done.
//!
//! What is not covered: orders in which both threads are in the middle of a round at the same time. Their rounds share
//! only what is behind the locks of queue, keeping and shards; the tests of the journal run them for real.
//!
//! `FOREBAY_MODEL_CASES` asks for more cases of each kind, `FOREBAY_MODEL_SEED` for one that has failed.

mod check;
mod expected;
mod node;
mod profile;
mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::profile::Kind;
use self::steps::Case;

/// Cases of each kind, where nothing else is asked for.
const CASES: u64 = 30;

/// Cases that have found something once: numbers that began again after retention had taken everything, a segment that
/// could not be removed while later ones were, a commit that was shown after its sync had failed.
const REGRESSIONS: &[(Kind, u64)] =
    &[(Kind::Crashes, 0), (Kind::Full, 86), (Kind::Faults, 14), (Kind::Faults, 35), (Kind::Crashes, 91)];

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a case; tells what it did if it fails.
fn run(kind: Kind, seed: u64) {
    let mut case = Case::new(kind, seed);
    let result = catch_unwind(AssertUnwindSafe(|| case.run()));
    if let Err(panic) = result {
        eprintln!("{kind:?}, seed {seed}: {:?}", case.profile());
        for line in case.trace() {
            eprintln!("  {line}");
        }
        eprintln!("again: FOREBAY_MODEL_SEED={seed}, with the test of {kind:?}");
        resume_unwind(panic);
    }
}

fn run_all(kind: Kind, cases: u64) {
    if let Some(seed) = number_of("FOREBAY_MODEL_SEED") {
        return run(kind, seed);
    }
    let cases = number_of("FOREBAY_MODEL_CASES").unwrap_or(cases);
    (0..cases).for_each(|seed| run(kind, seed));
}

#[test]
fn a_log_on_a_well_disk_keeps_what_it_promises_through_crashes() {
    run_all(Kind::Crashes, CASES);
}

#[test]
fn a_log_on_a_failing_disk_keeps_what_it_promises() {
    run_all(Kind::Faults, CASES);
}

#[test]
fn a_log_on_a_full_disk_keeps_what_it_promises_and_resumes() {
    run_all(Kind::Full, CASES);
}

#[test]
fn a_log_that_is_not_synced_loses_with_the_power_what_it_may_and_tells_so() {
    run_all(Kind::Unsynced, CASES);
}

#[test]
fn requests_beyond_the_buffer_of_a_commit_are_as_good_as_others() {
    run_all(Kind::Large, CASES / 50);
}

#[test]
fn what_has_failed_once_does_not_fail_again() {
    for (kind, seed) in REGRESSIONS {
        run(*kind, *seed);
    }
}
