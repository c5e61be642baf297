//! Streams that are made, deleted and resharded while the node runs, and what a restart finds of that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::node::{StreamMode, StreamOrigin};
use crate::pipeline::control::{Control, ControlError, NewStream};
use crate::record::ShardId;
use crate::stream::{Change, HashKey};

const MIDDLE: HashKey = HashKey(1 << 127);

fn new(name: &str, shards: u32) -> NewStream {
    let (retention, mode) = (Duration::from_secs(86_400), StreamMode::Provisioned);
    NewStream { name: name.into(), shards, retention, mode, tags: BTreeMap::new() }
}

fn started(config: &Config) -> Pipelines {
    let pipelines = Pipelines::listen(config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    pipelines
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn control(pipelines: &Pipelines) -> Arc<Control> {
    Arc::clone(pipelines.site.edge.control().unwrap())
}

fn body_of(answer: &str) -> serde_json::Value {
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Sends one record with a key, and tells its shard.
fn send(pipelines: &Pipelines, stream: &str, key: &str) -> String {
    let mut socket = TcpStream::connect(pipelines.address()).unwrap();
    let head = format!(
        "POST /v1/streams/{stream}/records HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-partition-key: {key}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let shard = body_of(&answer)["shards"][0]["shard"].as_str().map(str::to_owned);
    shard.unwrap_or_else(|| panic!("{answer}"))
}

fn shards(pipelines: &Pipelines, stream: &str) -> Vec<(String, bool, u64)> {
    let answer = body_of(&ask(pipelines, "GET", &format!("/v1/streams/{stream}/shards"), b""));
    let view = |shard: &serde_json::Value| {
        let number = |name: &str| shard[name].as_str().unwrap().parse::<u64>().unwrap();
        let held = number("next") - number("first");
        (shard["shard"].as_str().unwrap()[19..].to_owned(), shard["open"].as_bool().unwrap(), held)
    };
    answer["shards"].as_array().unwrap().iter().map(view).collect()
}

fn shown(shards: &[(&str, bool, u64)]) -> Vec<(String, bool, u64)> {
    shards.iter().map(|&(id, open, held)| (id.to_owned(), open, held)).collect()
}

#[test]
fn a_split_and_a_merge_move_keys_to_new_shards_and_a_restart_finds_all_of_them() {
    let delivery = "[[delivery]]\nname = \"d\"\nsink = { path = \"LAKE\" }\nformat = \"json\"\nbuffer = { interval = \"1h\" }\n";
    let (_, lake) = configure(DURABLE);
    let delivery = delivery.replace("LAKE", lake.path().to_str().unwrap());
    let (config, _folder) = configure(&format!("{DURABLE}{delivery}"));
    let pipelines = started(&config);
    // MD5 of "a" begins with 0c, that of "b" with 92.
    assert_eq!(send(&pipelines, "s", "a"), "shardId-000000000000");
    let split = vec![Change::Split { shard: ShardId(0), at: MIDDLE }];
    block_on(control(&pipelines).reshard("s", split.clone())).unwrap();
    assert_eq!(send(&pipelines, "s", "a"), "shardId-000000000001");
    assert_eq!(send(&pipelines, "s", "b"), "shardId-000000000002");
    let error = block_on(control(&pipelines).reshard("s", split)).unwrap_err();
    assert_eq!(error.to_string(), "shardId-000000000000 is closed: it was split or merged before");
    assert_eq!(shards(&pipelines, "s"), shown(&[("0", false, 1), ("1", true, 1), ("2", true, 1)]));
    pipelines.drain();
    let report = &pipelines.reports()[0];
    assert_eq!((report.delivered, report.pending), (3, 0), "{report:?}");

    let pipelines = started(&config);
    assert_eq!(shards(&pipelines, "s"), shown(&[("0", false, 1), ("1", true, 1), ("2", true, 1)]));
    let merge = vec![Change::Merge { shard: ShardId(2), adjacent: ShardId(1) }];
    block_on(control(&pipelines).reshard("s", merge)).unwrap();
    assert_eq!(send(&pipelines, "s", "b"), "shardId-000000000003");
    end(&pipelines);
    let report = &pipelines.reports()[0];
    assert_eq!((report.accepted, report.backlog, report.delivered), (1, 0, 1), "{report:?}");
}

#[test]
fn another_number_of_shards_in_the_pipeline_file_is_brought_about_once() {
    let (config, _folder) = configure(&format!("{DURABLE}shards = 2\n"));
    let pipelines = started(&config);
    send(&pipelines, "s", "a");
    block_on(control(&pipelines).resize("s", 3)).unwrap();
    let open = |pipelines: &Pipelines| shards(pipelines, "s").iter().filter(|(_, open, _)| *open).count();
    assert_eq!(open(&pipelines), 3);
    end(&pipelines);
    let pipelines = started(&config);
    assert_eq!(open(&pipelines), 3, "what was changed since stays");
    end(&pipelines);
    let mut config = config;
    config.pipelines[0].stream.shards = 5;
    for _ in 0..2 {
        let pipelines = started(&config);
        assert_eq!(open(&pipelines), 5);
        end(&pipelines);
    }
}

#[test]
fn streams_of_clients_are_there_until_a_client_deletes_them() {
    let (config, _folder) = configure(MEMORY);
    let pipelines = started(&config);
    block_on(control(&pipelines).create(new("made", 2))).unwrap();
    assert!(matches!(block_on(control(&pipelines).create(new("made", 2))), Err(ControlError::Exists { .. })));
    assert!(matches!(block_on(control(&pipelines).create(new("s", 2))), Err(ControlError::Exists { .. })));
    let refused = block_on(control(&pipelines).create(new("firehose.made", 1)));
    assert!(matches!(refused, Err(ControlError::Reserved { .. })));
    let refused =
        block_on(control(&pipelines).create(NewStream { retention: Duration::MAX, ..new("other", 1) }));
    assert!(matches!(refused, Err(ControlError::Start(_))), "what a restart could not serve is not noted");
    send(&pipelines, "made", "a");
    let note = |properties: &mut crate::node::StreamProperties| {
        properties.tags.insert("team".into(), "lake".into());
        Ok::<_, ()>(properties.tags.len())
    };
    for stream in ["made", "s"] {
        assert_eq!(block_on(control(&pipelines).update(stream, note)).unwrap(), Ok(1));
        assert_eq!(control(&pipelines).properties(stream).unwrap().tags["team"], "lake");
    }
    block_on(control(&pipelines).keep_for("made", Duration::from_secs(100_000))).unwrap();
    let deleted = block_on(control(&pipelines).alone(|control| control.delete("s", true))).unwrap();
    assert!(matches!(deleted, Err(ControlError::Declared { .. })));
    end(&pipelines);

    let pipelines = started(&config);
    let properties = control(&pipelines).properties("made").unwrap();
    assert_eq!((properties.origin, properties.tags["team"].as_str()), (StreamOrigin::Client, "lake"));
    assert_eq!(shards(&pipelines, "made").iter().map(|(.., held)| held).sum::<u64>(), 1);
    let retention = body_of(&ask(&pipelines, "GET", "/v1/streams/made", b""))["retention_seconds"].as_u64();
    assert_eq!(retention, Some(100_000));
    let delete = || block_on(control(&pipelines).alone(|control| control.delete("made", false))).unwrap();
    delete().unwrap();
    assert!(ask(&pipelines, "GET", "/v1/streams/made", b"").starts_with("HTTP/1.1 404 "));
    assert!(matches!(delete(), Err(ControlError::NoStream { .. })));
    block_on(control(&pipelines).create(new("made", 1))).unwrap();
    assert_eq!(shards(&pipelines, "made"), shown(&[("0", true, 0)]), "the records went with the stream");
    end(&pipelines);
}

#[test]
fn a_consumer_that_is_registered_before_its_stream_is_deleted_keeps_it() {
    let (config, _folder) = configure(MEMORY);
    let pipelines = started(&config);
    block_on(control(&pipelines).create(new("made", 1))).unwrap();
    let register = |properties: &mut crate::node::StreamProperties| {
        let consumer = crate::node::Consumer { created: 1, tags: BTreeMap::new() };
        properties.consumers.insert("c".into(), consumer);
        Ok::<_, ()>(())
    };
    assert_eq!(block_on(control(&pipelines).update("made", register)).unwrap(), Ok(()));
    let delete = |with_consumers| {
        block_on(control(&pipelines).alone(move |control| control.delete("made", with_consumers))).unwrap()
    };
    let refused = delete(false).unwrap_err();
    assert!(matches!(refused, ControlError::HasConsumers { .. }), "{refused}");
    assert_eq!(control(&pipelines).properties("made").unwrap().consumers.len(), 1);
    delete(true).unwrap();
    let late = block_on(control(&pipelines).update("made", register));
    assert!(matches!(late, Err(ControlError::NoStream { .. })));
    end(&pipelines);
}

#[test]
fn closed_shards_go_with_their_last_records() {
    let (config, _folder) = configure(&format!("{MEMORY}retention = \"1s\"\n"));
    let pipelines = started(&config);
    send(&pipelines, "s", "a");
    block_on(control(&pipelines).reshard("s", vec![Change::Split { shard: ShardId(0), at: MIDDLE }]))
        .unwrap();
    let stream = Arc::clone(&pipelines.site.edge.intake("s").unwrap().stream);
    pipelines.housekeeping();
    assert_eq!(shards(&pipelines, "s").len(), 3);
    let later = crate::runtime::clock::UnixMicros(clock::wall().0 + 2_000_000);
    stream.enforce_retention(later);
    pipelines.site.forget_outlived(&stream, later);
    assert_eq!(shards(&pipelines, "s"), shown(&[("1", true, 0), ("2", true, 0)]));
    assert_eq!(send(&pipelines, "s", "b"), "shardId-000000000002");
    end(&pipelines);
}
