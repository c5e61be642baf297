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

/// Whether that many records of a partition are known to `node`, or it has given the topic up, which ends the waiting.
fn has_come(node: &Stream, count: u64) -> bool {
    let topic = node.topic().unwrap();
    topic.another().is_some() || topic.partition(0).unwrap().next() >= count
}

#[tokio::test]
async fn kafka_nothing_is_appended_while_one_partition_has_lost_its_end_however_well_others_are() {
    let mock = mock(2);
    let (node, edge) = (node(&mock), node(&mock));
    let topic = Arc::clone(node.topic().unwrap());
    put(&edge, 0, &["[0]"]).await.unwrap();
    read(&node, 0, 0, 1).await;
    assert!(topic.may_append().is_ok());
    // Others have seen more of it than there is.
    node.layout().get(ShardId(1)).unwrap().log().skip_to(SequenceNumber(100));
    while topic.may_append().is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for count in 2..6 {
        put(&edge, 0, &["[1]"]).await.unwrap();
        while !has_come(&node, count) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(matches!(topic.may_append(), Err(AppendError::Unavailable(_))));
    }
    // Where the end comes back, it goes on; but for a topic that is given up by then.
    put(&edge, 1, &vec!["[]"; 100]).await.unwrap();
    while topic.may_append().is_err() && topic.another().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
