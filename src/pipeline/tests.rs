mod control;
mod functions;
mod live;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config;
use crate::node::{Catalog, NodeError, NodeFolder};
use crate::runtime::disk::RealDisk;

const MEMORY: &str = "[stream]\nname = \"s\"\ndurability = \"memory\"\n";
const DURABLE: &str = "[stream]\nname = \"s\"\n";

/// One pipeline, and a data folder in a folder of its own.
fn configure(pipeline: &str) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (file, node) = (folder.path().join("s.toml"), folder.path().join("forebay.toml"));
    let data = folder.path().join("data");
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\n";
    fs::write(&file, pipeline).unwrap();
    fs::write(&node, format!("data_dir = {:?}\n{server}", data.to_str().unwrap())).unwrap();
    let config = config::load(&[file], Some(&node), &|_| None);
    (config.unwrap_or_else(|problems| panic!("{problems}")), folder)
}

/// The whole answer to a request.
fn ask(pipelines: &Pipelines, method: &str, path: &str, body: &[u8]) -> String {
    let mut socket = TcpStream::connect(pipelines.address()).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn node_folder(config: &Config) -> Result<NodeFolder, NodeError> {
    NodeFolder::open(Arc::new(RealDisk), &config.node.data_dir, None)
}

/// Ends what was started; nothing answers then.
fn end(pipelines: &Pipelines) {
    pipelines.drain();
    assert!(TcpStream::connect(pipelines.address()).is_err(), "nothing is left running");
    assert_eq!(pipelines.phases.current(), Phase::Stopped);
}

#[test]
fn everything_about_streams_is_refused_until_the_stages_are_built() {
    let (config, _folder) = configure(MEMORY);
    let pipelines = Pipelines::listen(&config).unwrap();
    let large = vec![b' '; 5 << 20];
    for (method, path, body) in [
        ("POST", "/v1/streams/s/records", &b"{}"[..]),
        ("POST", "/v1/streams/s/records", &large),
        ("POST", "/v1/streams/other/records", b"{}"),
        ("GET", "/v1/streams/s/records?from=earliest", b""),
        ("GET", "/v1/streams/s", b""),
        ("GET", "/v1/streams/s/shards", b""),
        ("GET", "/v1/streams", b""),
    ] {
        let answer = ask(&pipelines, method, path, body);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{method} {path}: {answer}");
        for part in
            ["retry-after: 1\r\n", "content-type: application/problem+json\r\n", "\"code\":\"starting\""]
        {
            assert!(answer.contains(part), "{method} {path}: {answer}");
        }
    }
    assert!(ask(&pipelines, "GET", "/nowhere", b"").starts_with("HTTP/1.1 404 "));
    assert_eq!(pipelines.unready(), ["phase: starting"]);
    pipelines.housekeeping();
    let metrics = pipelines.render_metrics();
    assert!(metrics.contains("forebay_ingest_refused_requests_total{code=\"starting\"} 4"), "{metrics}");

    pipelines.build(config, false).unwrap();
    assert!(ask(&pipelines, "POST", "/v1/streams/s/records", b"{}").starts_with("HTTP/1.1 200 "));
    assert!(ask(&pipelines, "GET", "/v1/streams/other", b"").starts_with("HTTP/1.1 404 "));
    assert!(pipelines.unready().is_empty());
    end(&pipelines);
}

#[test]
fn streams_in_memory_need_no_folder() {
    let (config, _folder) = configure(MEMORY);
    let data = config.node.data_dir.clone();
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config, true).unwrap();
    end(&pipelines);
    assert!(!data.exists());
}

#[test]
fn a_folder_that_is_there_is_locked_until_the_drain_is_over() {
    let (config, _folder) = configure(MEMORY);
    let again = config.clone();
    drop(node_folder(&config).unwrap());
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config, false).unwrap();
    assert!(matches!(node_folder(&again), Err(NodeError::InUse { .. })));
    end(&pipelines);
    drop(node_folder(&again).unwrap());
}

#[test]
fn a_folder_stays_locked_while_a_write_that_hangs_could_still_reach_it() {
    let (config, _folder) = configure(DURABLE);
    let again = config.clone();
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config, false).unwrap();
    let (end_write, write) = std::sync::mpsc::channel::<()>();
    let running = pipelines.lock_running();
    let deliveries = running.as_ref().and_then(|running| running.deliveries.as_ref()).unwrap();
    deliveries.spawn_blocking(move || write.recv());
    drop(running);
    end(&pipelines);
    assert!(matches!(node_folder(&again), Err(NodeError::InUse { .. })));
    drop(pipelines);
    assert!(matches!(node_folder(&again), Err(NodeError::InUse { .. })));
    drop(end_write);
}

#[test]
fn new_durable_streams_are_in_the_catalog_once_they_may_take_records() {
    let (config, _folder) = configure(&format!("{DURABLE}shards = 3\n"));
    let pipelines = Pipelines::listen(&config).unwrap();
    let recovery =
        Recovery { accept_damage: false, phases: &pipelines.phases, registry: &pipelines.registry };
    let mut logs = Logs::open(&config, &recovery).unwrap().expect("a durable stream has logs");
    assert_eq!(pipelines.unready(), ["phase: recovering, 0.0 of 0.0 MB of the log read (100 %)"]);
    assert_eq!(logs.catalog.stream("s").map(|stream| stream.shards.len()), Some(3));
    assert_eq!(Catalog::open(&logs.folder).unwrap(), Catalog::default(), "a start that fails binds nobody");
    logs.save_catalog().unwrap();
    assert_eq!(Catalog::open(&logs.folder).unwrap(), logs.catalog);
    end(&pipelines);
}

#[test]
fn a_durable_stream_does_not_become_one_in_memory() {
    let (durable, _folder) = configure(DURABLE);
    let (mut memory, _other) = configure(MEMORY);
    memory.node.data_dir.clone_from(&durable.node.data_dir);
    let (phases, registry) = (Phases::new(), Registry::new().unwrap());
    let recovery = Recovery { accept_damage: false, phases: &phases, registry: &registry };
    Logs::open(&durable, &recovery).unwrap().expect("logs").save_catalog().unwrap();
    let error = Logs::open(&memory, &recovery).unwrap_err();
    assert!(error.to_string().contains("durability \"memory\" would hide"), "{error}");
    drop(node_folder(&durable).expect("the lock is free again"));
}

#[test]
fn a_start_that_fails_leaves_nothing_running_and_touches_nothing() {
    let (config, folder) = configure(DURABLE);
    let data = folder.path().join("data");
    fs::write(&data, "mine").unwrap();
    let pipelines = Pipelines::listen(&config).unwrap();
    let error = pipelines.build(config, false).unwrap_err();
    assert!(matches!(&error, StartError::Node(NodeError::NotAFolder { path }) if path == &data), "{error}");
    assert!(ask(&pipelines, "GET", "/v1/streams", b"").starts_with("HTTP/1.1 503 "));
    end(&pipelines);
    assert_eq!(fs::read(Path::new(&data)).unwrap(), b"mine");
}

#[test]
fn a_start_that_is_to_stop_builds_nothing() {
    let told = |pipelines: &Pipelines| pipelines.phases.progress().stop();
    let drained = |pipelines: &Pipelines| drop(pipelines.drain());
    for stop in [told, drained] {
        let (config, _folder) = configure(MEMORY);
        let pipelines = Pipelines::listen(&config).unwrap();
        stop(&pipelines);
        let error = pipelines.build(config, false).unwrap_err();
        assert!(matches!(error, StartError::Stopped), "{error}");
        assert!(pipelines.reports().is_empty() && pipelines.site.workers.running() == 0);
        end(&pipelines);
    }
}
