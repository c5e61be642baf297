//! Shards that follow the partitions of a topic, and what an ack is worth meanwhile.

use object_store::ObjectStore;

use super::*;
use crate::stream::kafka::growth::generations::{Generation, Generations};
use crate::stream::kafka::growth::switch::Beginning;
use crate::testkit::lossy_store::{LossyStore, Weather};

/// Fast enough for a test, and slow enough for a machine that is busy.
const FAST: Times = Times {
    lease: Duration::from_secs(3),
    drain: Duration::from_millis(500),
    margin: Duration::from_millis(100),
};

fn objects(store: &Arc<dyn ObjectStore>) -> Objects {
    Objects::new(Arc::clone(store), "s/layout/events".into())
}

fn node_by(mock: &Mock, store: &Arc<dyn ObjectStore>) -> Arc<Stream> {
    let agreement = Agreement { objects: objects(store), times: FAST };
    let log = kafka_log(&mock.bootstrap_servers(), false);
    node_of(log, &Budget::new(BUDGET), Duration::from_secs(30), agreement)
}

async fn until(is_so: impl Fn() -> bool) {
    let is_so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_so).await.expect("it does not come to be");
}

#[tokio::test]
async fn kafka_shards_follow_the_partitions_of_a_topic_that_has_got_more() {
    let mock = mock(3);
    let before = node(&mock);
    put(&before, 0, &["[0]", "[1]"]).await.unwrap();
    end(before).await;
    // It had two partitions when somebody looked first.
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    objects(&store).add(&Generation::first(2)).await.unwrap();
    let (a, b) = (node_by(&mock, &store), node_by(&mock, &store));
    until(|| [&a, &b].iter().all(|node| node.layout().shards().len() == 5)).await;
    let facts = |node: &Stream| node.layout().shards().iter().map(|shard| shard.facts).collect::<Vec<_>>();
    assert_eq!(facts(&a), facts(&b));
    let mut expected = Generations::default();
    expected.push(Generation::first(2)).unwrap();
    let created = facts(&a)[2].created;
    expected.push(expected.next(3, vec![2, 0], created).unwrap()).unwrap();
    assert_eq!(facts(&a), expected.shards().iter().map(|placed| placed.facts).collect::<Vec<_>>());
    assert_eq!(a.layout().next_id(), ShardId(5));
    // What was there stays in the shard that it was in; what comes goes to the new ones.
    until(|| [&a, &b].iter().all(|node| node.topic().unwrap().may_append().is_ok())).await;
    for shard in [0, 1] {
        let refused = a.append(vec![(ShardId(shard), batch(&["[9]"], "k", None))], None);
        assert!(matches!(refused, Err(AppendError::NoShard { .. })), "{refused:?}");
    }
    assert_eq!(put(&a, 2, &["[2]"]).await.unwrap(), Appended::together(SequenceNumber(2), 1));
    assert_eq!(put(&b, 4, &["[3]", "[4]"]).await.unwrap(), Appended::together(SequenceNumber(0), 2));
    for node in [&a, &b] {
        let (records, next) = read(node, 0, 0, 2).await;
        assert_eq!((payloads(&records), next), (vec!["[0]", "[1]"], 2));
        let (records, _) = read(node, 2, 2, 1).await;
        assert_eq!((records[0].0, payloads(&records)), (2, vec!["[2]"]));
        let (records, _) = read(node, 4, 0, 2).await;
        assert_eq!((records[0].0, payloads(&records)), (0, vec!["[3]", "[4]"]));
        let bounds = |shard| node.shard(ShardId(shard)).unwrap().bounds();
        until(|| bounds(2).next.0 == 3).await;
        assert_eq!((bounds(0).next.0, bounds(1).next.0, bounds(2).first.0), (2, 0, 2));
        let view = node.view(ShardId(0), 1).unwrap();
        assert_eq!(view.accepted(), 2);
    }
    end(a).await;
    end(b).await;
}

/// A request whose ack comes when nobody can say any more in which shards its record is: it is held. The store is out of
/// reach then.
async fn held(
    mock: &Mock,
    store: &Arc<dyn ObjectStore>,
) -> (Arc<Stream>, LossyStore, crate::stream::Receipt) {
    let way = LossyStore::to(Arc::clone(store), 1);
    let stream = node_by(mock, &(Arc::new(way.clone()) as Arc<dyn ObjectStore>));
    put(&stream, 0, &["[0]"]).await.unwrap();
    until(|| stream.shard(ShardId(0)).unwrap().bounds().next.0 == 1).await;
    mock.broker_down(1).unwrap();
    let receipt = stream.append(vec![(ShardId(0), batch(&["[1]"], "k", None))], None).unwrap();
    way.set_weather(Weather { fails: 1_000, ..Weather::default() });
    let topic = Arc::clone(stream.topic().unwrap());
    until(|| matches!(topic.may_append(), Err(AppendError::Unavailable(_)))).await;
    until(|| !topic.growth().may_show()).await;
    mock.broker_up(1).unwrap();
    until(|| topic.growth().held() == 1).await;
    (stream, way, receipt)
}

#[tokio::test]
async fn kafka_an_ack_waits_until_it_is_known_in_which_shard_the_record_is() {
    let (mock, store) = (mock(1), Arc::new(InMemory::new()) as Arc<dyn ObjectStore>);
    let (stream, way, receipt) = held(&mock, &store).await;
    // Nor is the record shown to readers.
    assert_eq!(stream.shard(ShardId(0)).unwrap().bounds().next.0, 1);
    way.set_weather(Weather::default());
    let Committed { appended, .. } = receipt.committed().await.unwrap();
    assert_eq!(appended, [(ShardId(0), Appended::together(SequenceNumber(1), 1))]);
    let (records, _) = read(&stream, 0, 0, 2).await;
    assert_eq!(payloads(&records), ["[0]", "[1]"]);
    end(stream).await;
}

#[tokio::test]
async fn kafka_a_record_that_comes_behind_the_end_of_its_shard_is_not_acknowledged() {
    let (mock, store) = (mock(1), Arc::new(InMemory::new()) as Arc<dyn ObjectStore>);
    let (stream, way, receipt) = held(&mock, &store).await;
    // Others have ended the shard before it came.
    let others = objects(&store);
    others.begin(&Beginning { number: 2, partitions: 2 }).await.unwrap();
    let second = Generation { number: 2, partitions: 2, created: 7, ends: vec![1] };
    others.add(&second).await.unwrap();
    way.set_weather(Weather::default());
    let unknown = receipt.committed().await.unwrap_err();
    assert!(matches!(&unknown, CommitError::Unknown(why) if why.contains("has changed")), "{unknown}");
    // It is in the shard that follows, and there once.
    until(|| stream.layout().shards().len() == 3).await;
    let shard = |id| stream.shard(ShardId(id)).unwrap();
    let (records, _) = read(&stream, 1, 1, 1).await;
    assert_eq!((records[0].0, payloads(&records)), (1, vec!["[1]"]));
    assert_eq!((shard(0).bounds().next.0, shard(1).bounds().first.0), (1, 1));
    // The broker tells of fewer partitions than there are.
    let refused = stream.try_writing().unwrap().check();
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    end(stream).await;
}
