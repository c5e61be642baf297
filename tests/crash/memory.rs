//! What the matrix would say of a node that loses records.

use crate::trial::{Setup, Trial};

#[test]
fn a_node_that_keeps_records_in_memory_loses_them_when_it_is_killed_and_the_verdict_says_so() {
    let setup =
        Setup { durability: "memory", buffer: "{ size = \"64MiB\", interval = \"1h\" }", ..Setup::default() };
    let mut trial = Trial::begin("memory", &setup);
    trial.progress(200);
    trial.kill();
    trial.node.start();
    trial.progress(200);
    let outcomes = trial.end_load();
    trial.node.drain();
    let manifests: Vec<_> = outcomes.iter().map(|outcome| &outcome.manifest).collect();
    let said = trial.judge(&manifests);
    assert!(trial.row.missing >= 400, "what was acked before the kill is nowhere: {said}");
    assert!(trial.row.delivered >= 400, "what was acked after it is there: {said}");
    assert_eq!((trial.row.duplicated, trial.row.reordered), (0, 0), "{said}");
}

#[test]
fn a_node_that_keeps_records_in_memory_delivers_all_of_them_when_it_ends_in_good_order() {
    let setup = Setup { durability: "memory", ..Setup::default() };
    let mut trial = Trial::begin("memory-drain", &setup);
    trial.progress(3_000);
    let outcomes = trial.end_load();
    trial.node.drain();
    let manifests: Vec<_> = outcomes.iter().map(|outcome| &outcome.manifest).collect();
    let said = trial.judge(&manifests);
    let row = &trial.row;
    assert_eq!((row.missing, row.duplicated, row.reordered), (0, 0, 0), "{said}");
    assert_eq!(row.delivered + row.dead_lettered, 2 * row.acked, "{said}");
    assert!(row.acked >= 6_000 && row.dead_lettered > 0, "{said}");
}
