//! An object store that fails, refuses, stalls and loses replies, while the node that writes to it is killed.

use std::slice;
use std::time::Duration;

use forebay::testkit::faulty_store::{Conditions, Fault, FaultyStore, Operation, Rule};

use crate::chance::{self, Chance};
use crate::trial::{Setup, Trial, long_row};

/// For how long a store is ill, so that some files meet it.
const ILL: Duration = Duration::from_millis(2_500);
/// The stall of a minute that a row has; a bound for the short form.
const STALL: Duration = Duration::from_secs(65);
const SHORT_STALL: Duration = Duration::from_secs(4);

fn setup(store: &FaultyStore) -> Setup {
    Setup { sink: store.sink_line("{path}/"), ..Setup::default() }
}

/// Objects of 5 MiB and more, stored in parts.
fn setup_of_parts(store: &FaultyStore) -> Setup {
    Setup {
        buffer: "{ size = \"12MiB\", interval = \"4s\" }",
        json: "compression = \"none\"",
        record_bytes: 8_000,
        rate: 400.0,
        batch: 10,
        ..setup(store)
    }
}

/// Puts the objects where the lakes of folders are, and ends the trial.
fn end(mut trial: Trial, store: &FaultyStore) {
    let outcomes = trial.end_load();
    store.heal();
    store.release();
    trial.node.drain();
    for (key, object) in store.objects() {
        let path = trial.node.path().join("lake").join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &object.bytes).unwrap();
    }
    assert_eq!(store.uploads(), [], "uploads in parts are left behind");
    trial.settle(&outcomes);
}

/// Each illness lasts for a while; then the store is well, and then comes the next. The node is killed in the middle of
/// each second one.
fn falls_ill(name: &str, setup: &Setup, store: &FaultyStore, illnesses: &[&[Rule]]) {
    let mut chance = Chance::of(name);
    let mut trial = Trial::begin(name, setup);
    for (number, rules) in illnesses.iter().enumerate() {
        rules.iter().for_each(|rule| store.rule(rule.clone()));
        std::thread::sleep(ILL);
        if number % 2 == 1 {
            trial.kill();
            trial.node.start();
            std::thread::sleep(chance.pause(ILL / 10, ILL));
        }
        store.heal();
        store.release();
        trial.progress(100);
    }
    trial.row.note =
        format!("{} illnesses, {} requests to the store", illnesses.len(), store.requests().len());
    end(trial, store);
}

#[test]
fn nothing_is_lost_or_doubled_by_a_store_that_fails_or_loses_replies() {
    let store = FaultyStore::start().unwrap();
    let often = |fault: Fault| Rule::any(fault).always().in_thousand(400);
    let illnesses: &[&[Rule]] = &[
        &[often(Fault::INTERNAL)],
        &[Rule::new(Operation::Put, Fault::Drop).always().in_thousand(500).once_done()],
        &[often(Fault::SLOW_DOWN)],
        &[often(Fault::Drop), Rule::any(Fault::INTERNAL).always().in_thousand(300).once_done()],
    ];
    falls_ill(
        "store that answers 500 and 503 and drops connections before and after storing",
        &setup(&store),
        &store,
        illnesses,
    );
}

#[test]
fn nothing_is_lost_or_doubled_by_a_store_that_stores_late() {
    if !long_row() {
        return;
    }
    let store = FaultyStore::start().unwrap();
    let late = Rule::new(Operation::Put, Fault::Late).always().in_thousand(300);
    let illnesses = &[slice::from_ref(&late); 2];
    falls_ill("store that drops the connection and stores later", &setup(&store), &store, illnesses);
}

#[test]
fn nothing_is_lost_or_doubled_by_a_store_without_conditional_writes() {
    if !long_row() {
        return;
    }
    let store = FaultyStore::start_with(Conditions::Ignored, 1).unwrap();
    let lost = Rule::new(Operation::Put, Fault::Drop).always().in_thousand(500).once_done();
    let illnesses = &[slice::from_ref(&lost); 2];
    falls_ill("store without If-None-Match that loses replies", &setup(&store), &store, illnesses);
}

#[test]
fn nothing_is_lost_or_doubled_by_a_store_that_denies_for_a_while() {
    if !long_row() {
        return;
    }
    let store = FaultyStore::start().unwrap();
    let illnesses: &[&[Rule]] = &[&[Rule::any(Fault::DENIED).always()], &[Rule::any(Fault::DENIED).always()]];
    falls_ill("store that answers 403", &setup(&store), &store, illnesses);
}

#[test]
fn nothing_is_lost_or_doubled_by_a_store_that_stalls() {
    if !long_row() {
        return;
    }
    let store = FaultyStore::start().unwrap();
    let mut trial = Trial::begin("store that stalls for a minute", &setup(&store));
    trial.progress(100);
    store.rule(Rule::any(Fault::Stall).always());
    std::thread::sleep(if chance::is_long() { STALL } else { SHORT_STALL });
    trial.kill();
    trial.node.start();
    std::thread::sleep(ILL);
    store.heal();
    store.release();
    trial.progress(100);
    end(trial, &store);
}

#[test]
fn nothing_is_lost_or_left_behind_when_it_dies_while_it_uploads_in_parts() {
    let store = FaultyStore::start().unwrap();
    let setup = setup_of_parts(&store);
    let mut trial = Trial::begin("killed at each point of an upload in parts", &setup);
    let patience = Duration::from_secs(60);
    let mut points =
        vec!["upload.multipart.created", "upload.multipart.begun", "stream.begun", "stream.part"];
    points.push("stream.complete");
    if chance::is_long() {
        points.extend(["stream.part", "upload.after", "ledger.seal.after"]);
        points.extend(["upload.multipart.begun", "upload.multipart.created"]);
    }
    for point in points {
        let is_dead = trial.dies_at(point, 1, patience);
        assert!(is_dead, "nothing came by {point}\n{}", trial.node.log());
    }
    trial.progress(100);
    end(trial, &store);
}
