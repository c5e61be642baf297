//! Which partitions are read into memory.

use super::*;

fn bounds(stream: &Stream, shard: u32) -> (u64, u64) {
    let bounds = stream.layout().get(ShardId(shard)).unwrap().log().bounds();
    (bounds.next.0, bounds.bytes)
}

#[tokio::test]
async fn kafka_only_partitions_that_somebody_reads_are_fetched() {
    let mock = mock(3);
    let (node, edge) = (node(&mock), node(&mock));
    let topic = Arc::clone(node.topic().unwrap());
    for shard in 0..3 {
        put(&edge, shard, &["[0]", "[1]"]).await.unwrap();
    }
    while (0..3).any(|shard| bounds(&node, shard).0 < 2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (records, _) = read(&node, 1, 0, 2).await;
    assert_eq!(payloads(&records), ["[0]", "[1]"]);
    while topic.followed() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let alone = topic.ring_bytes_max();
    for shard in 0..3 {
        put(&edge, shard, &["[2]"]).await.unwrap();
    }
    // Of the others it is known how far they go, and no more.
    while (0..3).any(|shard| bounds(&node, shard).0 < 3) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(topic.followed(), 1);
    assert_eq!([bounds(&node, 0).1, bounds(&node, 1).1, bounds(&node, 2).1], [0, 3, 0]);
    // One that comes in is read on from where it is known to be.
    let (records, _) = read(&node, 2, 0, 3).await;
    assert_eq!(payloads(&records), ["[0]", "[1]", "[2]"]);
    while topic.followed() == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(topic.ring_bytes_max(), alone / 2);
    for shard in 0..3 {
        put(&edge, shard, &["[3]"]).await.unwrap();
    }
    let (records, _) = read(&node, 2, 0, 4).await;
    assert_eq!(payloads(&records), ["[0]", "[1]", "[2]", "[3]"]);
    assert_eq!(bounds(&node, 2).1, 3);
    // One that nobody reads any more goes, and comes back whole.
    topic.partition(1).unwrap().is_left();
    while topic.followed() == 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    put(&edge, 1, &["[4]"]).await.unwrap();
    while bounds(&node, 1) != (5, 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (records, _) = read(&node, 1, 0, 5).await;
    assert_eq!(payloads(&records), ["[0]", "[1]", "[2]", "[3]", "[4]"]);
    put(&edge, 1, &["[5]"]).await.unwrap();
    let (records, _) = read(&node, 1, 4, 2).await;
    assert_eq!(payloads(&records), ["[4]", "[5]"]);
    while topic.followed() == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end(node).await;
    end(edge).await;
}
