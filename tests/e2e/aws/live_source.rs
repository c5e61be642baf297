//! Delivery streams beside what happens to their sources and to the node at the same time.

use forebay::testkit::faulty_store::FaultyStore;
use serde_json::{Value, json};

use super::UNSIGNED;
use super::firehose::{call, done, setup};
use super::live::create;

fn create_of(name: &str, source: &str) -> Value {
    let mut create = create(name, 900);
    create["DeliveryStreamType"] = json!("KinesisStreamAsSource");
    create["KinesisStreamSourceConfiguration"] = json!({
        "KinesisStreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{source}"),
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
    });
    create
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_go_while_a_delivery_stream_of_it_is_being_made() {
    let store = FaultyStore::start().unwrap();
    let server = setup(&store).node(UNSIGNED).start();
    for round in 0..12 {
        let (source, reader) = (format!("source-{round}"), format!("reader-{round}"));
        let stream = json!({ "StreamName": source, "ShardCount": 1 });
        done(&server, "Kinesis_20131202.CreateStream", stream).await;
        let name = json!({ "StreamName": source });
        let ((made, _), (deleted, _)) = tokio::join!(
            call(&server, "CreateDeliveryStream", create_of(&reader, &source)),
            call(&server, "Kinesis_20131202.DeleteStream", name.clone()),
        );
        assert!((made == 200) != (deleted == 200), "one of them is refused: {made}, {deleted}");
        let (described, _) = call(&server, "Kinesis_20131202.DescribeStreamSummary", name).await;
        assert_eq!(described == 200, made == 200);
    }
    server.stop().assert_drained();
}
