//! Readers whose place outlives the process, whose stream goes away, or who do not read.

use std::io::{Read, Write};
use std::time::Instant;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::UNSIGNED;
use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

const SHARD: &str = "shardId-000000000000";

fn request(server: &Server, operation: &str, members: &Value) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(members.to_string())
}

async fn call(server: &Server, operation: &str, members: Value) -> (u16, Value) {
    let response = request(server, operation, &members).send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn done(server: &Server, operation: &str, members: Value) -> Value {
    let (status, reply) = call(server, operation, members).await;
    assert_eq!(status, 200, "{operation}: {reply}");
    reply
}

/// `{"n":N}` in Base64, for one digit.
fn data(n: usize) -> String {
    format!("eyJuIj{}fQ==", ["ow", "ox", "oy", "oz", "o0", "o1"][n])
}

async fn put(server: &Server, stream: &str, n: usize) {
    done(server, "PutRecord", json!({"StreamName": stream, "PartitionKey": "k", "Data": data(n)})).await;
}

async fn iterator(server: &Server, stream: &str) -> Value {
    let members = json!({"StreamName": stream, "ShardId": SHARD, "ShardIteratorType": "LATEST"});
    done(server, "GetShardIterator", members).await["ShardIterator"].take()
}

/// The data of the records from there on, and the iterator behind them.
async fn read(server: &Server, iterator: &Value, count: usize) -> (Vec<String>, Value) {
    let (mut found, mut iterator) = (Vec::new(), iterator.clone());
    while found.len() < count {
        let mut page = done(server, "GetRecords", json!({"ShardIterator": iterator})).await;
        let records = page["Records"].as_array().unwrap();
        found.extend(records.iter().map(|record| record["Data"].as_str().unwrap().to_owned()));
        iterator = page["NextShardIterator"].take();
    }
    (found, iterator)
}

#[tokio::test]
async fn iterators_and_places_in_lists_outlive_a_kill() {
    let setup = || {
        Setup::pipeline(durable_stream("kept", 1, "fsync"))
            .and_pipeline("lost", stream("lost", 1))
            .node(UNSIGNED)
    };
    let server = setup().start();
    let (kept, lost) = (iterator(&server, "kept").await, iterator(&server, "lost").await);
    for n in 0..3 {
        put(&server, "kept", n).await;
    }
    let (before, next) = read(&server, &kept, 3).await;
    let place = done(&server, "ListStreams", json!({"Limit": 1})).await["NextToken"].take();
    let folder = server.kill();
    let key = std::fs::read_to_string(folder.path().join("data/token-key.json")).unwrap();

    // Streams in memory are told apart by the second in which they were made.
    let second = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let killed = second();
    while second() == killed {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let server = setup().in_folder(folder).start();
    put(&server, "kept", 3).await;
    assert_eq!(read(&server, &kept, 4).await.0, [0, 1, 2, 3].map(data));
    assert_eq!(read(&server, &next, 1).await.0, [data(3)]);
    assert_eq!(before, [0, 1, 2].map(data));
    let rest = done(&server, "ListStreams", json!({"NextToken": place})).await;
    assert_eq!(rest["StreamNames"], json!(["lost"]));
    // What was in memory is gone: its readers begin anew.
    let (status, reply) = call(&server, "GetRecords", json!({"ShardIterator": lost})).await;
    assert_eq!((status, &reply["__type"]), (400, &json!("ExpiredIteratorException")), "{reply}");
    let forged = format!("{}A", &next.as_str().unwrap()[..next.as_str().unwrap().len() - 1]);
    let (status, reply) = call(&server, "GetRecords", json!({"ShardIterator": forged})).await;
    assert!(
        forged == next || (status, &reply["__type"]) == (400, &json!("InvalidArgumentException")),
        "{reply}"
    );
    let log = server.stop();
    let key = key.split('"').find(|text| text.len() == 64).unwrap();
    assert!(!log.stderr.contains(key) && !log.stdout.contains(key), "the key is a secret");
}

#[tokio::test]
async fn a_node_without_a_folder_gives_iterators_for_as_long_as_it_lives() {
    let server = Setup::pipeline(stream("s", 1)).node(UNSIGNED).start();
    let start = iterator(&server, "s").await;
    put(&server, "s", 1).await;
    assert_eq!(read(&server, &start, 1).await.0, [data(1)]);
    assert!(!server.folder().join("data").exists());
    // The folder comes with the first stream of a client, and with it the key that is in use already.
    done(&server, "CreateStream", json!({"StreamName": "made", "ShardCount": 1})).await;
    put(&server, "made", 2).await;
    let made = json!({"StreamName": "made", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"});
    let made = done(&server, "GetShardIterator", made).await["ShardIterator"].take();
    let server = Setup::pipeline(stream("s", 1)).node(UNSIGNED).in_folder(server.kill()).start();
    assert_eq!(read(&server, &made, 1).await.0, [data(2)]);
}

async fn consumer(server: &Server, stream: &str, name: &str) -> Value {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{stream}");
    let members = json!({"StreamARN": arn, "ConsumerName": name});
    done(server, "RegisterStreamConsumer", members).await["Consumer"]["ConsumerARN"].take()
}

fn subscribe(consumer: &Value) -> Value {
    json!({"ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": {"Type": "LATEST"}})
}

/// Reads pieces of a body until it has `text`.
async fn until(response: &mut reqwest::Response, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("in time").unwrap();
        read.push_str(&String::from_utf8_lossy(&piece.unwrap_or_else(|| panic!("no {text} in {read}"))));
    }
    read
}

/// Everything up to the end of a body.
async fn rest(response: &mut reqwest::Response) -> String {
    let mut read = String::new();
    while let Some(piece) = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("in time").unwrap()
    {
        read.push_str(&String::from_utf8_lossy(&piece));
    }
    read
}

#[tokio::test]
async fn readers_of_a_deleted_stream_are_told_and_end() {
    let server = Setup::pipeline(stream("other", 1)).node(UNSIGNED).start();
    done(&server, "CreateStream", json!({"StreamName": "gone", "ShardCount": 1})).await;
    let consumer = consumer(&server, "gone", "c").await;
    let mut subscription = request(&server, "SubscribeToShard", &subscribe(&consumer)).send().await.unwrap();
    until(&mut subscription, "\"MillisBehindLatest\":0").await;
    let events = |stream: &str| {
        reqwest::Client::new().get(server.records(stream)).header("accept", "text/event-stream").send()
    };
    let (mut gone, mut other) = (events("gone").await.unwrap(), events("other").await.unwrap());
    until(&mut gone, "retry:").await;
    let socket = |query: &str| {
        let url = format!("ws://{}/v1/streams/gone/records?{query}", server.address);
        async move { tokio_tungstenite::connect_async(url).await.unwrap().0 }
    };
    let (mut reading, mut sending) = (socket("from=earliest").await, socket("from=none").await);
    let poll = tokio::spawn(reqwest::get(format!("{}?wait=30", server.records("gone"))));
    put(&server, "gone", 1).await;
    until(&mut gone, "{\"n\":1}").await;
    let page = reading.next().await.unwrap().unwrap();
    assert!(page.to_text().unwrap().contains("{\"n\":1}"), "{page:?}");
    assert_eq!(poll.await.unwrap().unwrap().status(), 200);
    let poll = tokio::spawn(reqwest::get(format!("{}?wait=30", server.records("gone"))));

    let begun = Instant::now();
    done(&server, "DeleteStream", json!({"StreamName": "gone", "EnforceConsumerDeletion": true})).await;
    assert!(until(&mut gone, "\n\n").await.contains("event: end\ndata: {\"reason\":\"stream_deleted\"}"));
    assert_eq!(rest(&mut gone).await, "");
    for socket in [&mut reading, &mut sending] {
        let close = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        let Message::Close(Some(frame)) = close else { panic!("{close:?}") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "stream_deleted"));
    }
    let poll = poll.await.unwrap().unwrap();
    assert_eq!(poll.status(), 404);
    let problem: Value = serde_json::from_slice(&poll.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "unknown_stream");
    assert!(begun.elapsed() < PATIENCE);
    let last = rest(&mut subscription).await;
    assert!(last.contains("ResourceNotFoundException"), "{last}");

    // Nobody else is: also not a stream that is made again under the name.
    done(&server, "CreateStream", json!({"StreamName": "gone", "ShardCount": 1})).await;
    let mut again = events("gone").await.unwrap();
    until(&mut again, "retry:").await;
    put(&server, "gone", 2).await;
    put(&server, "other", 3).await;
    assert!(!until(&mut again, "{\"n\":2}").await.contains("event: end"));
    assert!(!until(&mut other, "{\"n\":3}").await.contains("event: end"));
    server.until("forebay_tap_open", "kind=\"subscription\"", |open| open == 0.0).await;
    server.stop();
}

#[tokio::test]
async fn a_consumer_that_reads_nothing_loses_its_own_subscription_alone() {
    let server = Setup::pipeline(format!("{}[ingest]\ncontent = \"any\"\n", stream("s", 1)))
        .node(UNSIGNED)
        .server("idle_timeout = \"2s\"")
        .start();
    let (slow, fast) = (consumer(&server, "s", "slow").await, consumer(&server, "s", "fast").await);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let mut silent = std::net::TcpStream::from(socket);
    let members = subscribe(&slow).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nx-amz-target: Kinesis_20131202.SubscribeToShard\r\ncontent-type: \
         application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{members}",
        members.len()
    );
    silent.write_all(head.as_bytes()).unwrap();
    silent.read_exact(&mut [0; 12]).unwrap();
    let mut subscription = request(&server, "SubscribeToShard", &subscribe(&fast)).send().await.unwrap();
    until(&mut subscription, "\"MillisBehindLatest\":0").await;

    const SLOW: (&str, &str) = ("forebay_tap_slow_readers_total", "kind=\"subscription\"");
    let (mut sent, started) = (0, Instant::now());
    // More than all buffers of the kernel take.
    while sent < 20 || server.metric(SLOW.0, SLOW.1).await == 0.0 {
        assert!(started.elapsed() < PATIENCE);
        let mut body = vec![b'x'; 900_000];
        let mark = format!("<{sent:06}>");
        // Six bytes are eight letters of Base64: the mark is found wherever it stands.
        body[..8].copy_from_slice(mark.as_bytes());
        let (status, reply) = server.post("s", "application/octet-stream", body).await;
        assert_eq!(status, 200, "{reply}");
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &mark[..6]);
        until(&mut subscription, &format!("\"Data\":\"{encoded}")).await;
        sent += 1;
    }
    assert_eq!(server.metric(SLOW.0, SLOW.1).await, 1.0);
    assert_eq!(server.metric("forebay_tap_open", "kind=\"subscription\"").await, 1.0);
    // Its place is free at once.
    let again = request(&server, "SubscribeToShard", &subscribe(&slow)).send().await.unwrap();
    assert_eq!(again.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_and_the_deletion_of_its_stream_do_not_both_come_about() {
    let server = Setup::pipeline(stream("other", 1)).node(UNSIGNED).start();
    for round in 0..20 {
        let name = format!("contested-{round}");
        done(&server, "CreateStream", json!({"StreamName": name, "ShardCount": 1})).await;
        let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}");
        let (registered, deleted) = tokio::join!(
            call(&server, "RegisterStreamConsumer", json!({"StreamARN": arn, "ConsumerName": "c"})),
            call(&server, "DeleteStream", json!({"StreamName": name})),
        );
        let told = |(status, body): &(u16, Value)| (*status, body["__type"].as_str().map(str::to_owned));
        let (first, second) = (told(&registered), told(&deleted));
        let refused = |kind: &str| (400, Some(kind.to_owned()));
        let has_stayed = first.0 == 200 && second == refused("ResourceInUseException");
        let has_gone = first == refused("ResourceNotFoundException") && second.0 == 200;
        assert!(has_stayed || has_gone, "{first:?} {second:?}");
        let described = call(&server, "DescribeStreamSummary", json!({"StreamName": name})).await;
        assert_eq!(described.0 == 200, has_stayed, "{first:?} {second:?}");
    }
    server.stop();
}
