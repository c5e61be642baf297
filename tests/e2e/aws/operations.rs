//! Whether a client has called every operation that there is.

use std::collections::BTreeSet;

use forebay::edge::aws::{firehose, kinesis};

/// What a script says at its end: the operations that it has called and had answered well.
fn called(output: &str) -> BTreeSet<&str> {
    let last = output.lines().last().unwrap_or_default();
    let words = last.strip_prefix("called ").unwrap_or_else(|| panic!("a script has not ended: {output}"));
    words.split(' ').collect()
}

fn check(outputs: &[&str], wanted: impl Iterator<Item = &'static str>) {
    let called: BTreeSet<_> = outputs.iter().flat_map(|output| called(output)).collect();
    let wanted: BTreeSet<_> = wanted.collect();
    assert_eq!(wanted.symmetric_difference(&called).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// That the scripts with these outputs have called all operations of Kinesis Data Streams, `but` those that their
/// client does not have, and nothing else.
pub fn check_kinesis(outputs: &[&str], but: &[kinesis::Operation]) {
    let wanted = kinesis::Operation::ALL.into_iter().filter(|operation| !but.contains(operation));
    check(outputs, wanted.map(kinesis::Operation::action));
}

/// The same for Firehose.
pub fn check_firehose(output: &str) {
    check(&[output], firehose::Operation::ALL.into_iter().map(firehose::Operation::action));
}
