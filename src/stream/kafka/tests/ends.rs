//! What lies between the end that a broker shows and the one that is known.

use super::super::catch_up::StoredRange;
use super::*;
use crate::stream::captures::Captures;
use crate::stream::log::{Numbering, ReadError, StoredRead};

/// Reads what the first partition has between two places.
fn load(stream: &Stream, from: u64, end: u64) -> Result<Read, ReadError> {
    let topic = Arc::clone(stream.topic().unwrap());
    let numbering = Numbering::Sparse { lost_below: SequenceNumber(0) };
    let range = StoredRange::new(topic, 0, (from, end), ReadLimit::bytes(1 << 20), 0, numbering);
    Box::new(range).load(&payer(), &Captures::default().plan().unwrap())
}

fn places(read: &Read) -> (usize, u64) {
    (read.slices.iter().map(|slice| slice.len()).sum(), read.next.0)
}

#[tokio::test]
async fn kafka_what_a_broker_does_not_show_yet_is_not_passed_over() {
    let mock = mock(1);
    let node = node(&mock);
    put(&node, 0, &["[0]", "[1]"]).await.unwrap();
    // Others have seen four: a replica that lags behind shows two of them.
    assert_eq!(places(&load(&node, 0, 4).unwrap()), (2, 2));
    let told = load(&node, 2, 4).unwrap_err().to_string();
    assert!(told.contains("partition 0 ends at 2 at the moment, and had ended at 4"), "{told}");
    put(&node, 0, &["[2]", "[3]"]).await.unwrap();
    assert_eq!(places(&load(&node, 2, 4).unwrap()), (2, 4));
    drop(node);
}
