//! A stage over a log and a disk that lose their power at any moment.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;
use crate::config::checked::{self, Function};
use crate::function::contract::Origin;
use crate::record::{Batch, Content, RecordSpans, Source, Span};
use crate::runtime::clock::{self, UnixMicros};
use crate::runtime::disk::Disk;
use crate::runtime::progress::Progress as ReadBack;
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journals::{Journals, Setting};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Backing, Captures, DurableParts, Payer, ReadLimit, Retention, ShardFacts};
use crate::telemetry::metrics::{LogMetrics, Registry};
use crate::testkit::disk::SimulatedDisk;

/// Longest wait for anything that must happen. Never waited for in a passing test.
const PATIENCE: Duration = Duration::from_secs(60);
/// Worlds, each with five lives: about a second a life.
const SEEDS: u64 = 3;
const SOURCE: u32 = 1;
const TARGET: u32 = 2;

/// What becomes of a record by its number: each third is dropped, and others fail.
fn outcome(id: u64) -> &'static str {
    match id % 7 {
        0 | 3 => "Dropped",
        5 => "ProcessingFailed",
        _ => "Ok",
    }
}

/// A function that says something else whenever it is asked, and sometimes nothing of use.
async fn function() -> SocketAddr {
    async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
        if fastrand::u8(..) < 40 {
            return Ok(Response::new(Full::from("{\"errorMessage\":\"not today\"}")));
        }
        let result = |record: &Value| {
            let id = String::from_utf8(STANDARD.decode(record["data"].as_str().unwrap()).unwrap()).unwrap();
            let data = STANDARD.encode(format!("{id} {}", fastrand::u32(..)));
            json!({ "recordId": record["recordId"], "result": outcome(id.parse().unwrap()), "data": data })
        };
        let records: Vec<_> = body["records"].as_array().unwrap().iter().map(result).collect();
        Ok(Response::new(Full::from(json!({ "records": records }).to_string())))
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(connection), service_fn(answer)));
        }
    });
    address
}

/// One life of the process.
struct Life {
    journals: Journals,
    source: Arc<Stream>,
    target: Arc<Stream>,
    registry: Registry,
    disk: SimulatedDisk,
}

fn stream(
    name: &str,
    number: u32,
    log: Arc<DurableLog>,
    journals: &Journals,
    registry: &Registry,
) -> Arc<Stream> {
    let config = checked::Stream {
        name: name.into(),
        shards: 1,
        durability: checked::Durability::Fsync,
        retention: Duration::from_secs(3_600),
        retention_bytes: None,
        idempotency_window: Duration::ZERO,
        log: Default::default(),
        quotas: Default::default(),
    };
    let journal = Arc::clone(journals.get(JournalClass::Fsync).unwrap());
    let shards =
        ShardFacts::even(1, 0, SequenceNumber(1_000)).map(|facts| (facts, Arc::clone(&log))).collect();
    let parts = DurableParts { journal, number, shards, next_id: ShardId(1) };
    let (plan, metrics) = (Captures::default().plan().unwrap(), registry.stream(name));
    Arc::new(Stream::new(&config, Backing::Durable(parts, Vec::new()), 0, plan, metrics))
}

impl Life {
    fn begin(disk: SimulatedDisk) -> Self {
        let setting = Setting {
            disk: Arc::new(disk.clone()),
            folder: "/log".into(),
            node: [7; 8],
            segment_bytes: 64 << 10,
            writer: checked::LogWriter::Thread,
            accept_damage: false,
            replies_since: UnixMicros(0),
        };
        let (metrics, needed) = (|_| LogMetrics::none(), [JournalClass::Fsync]);
        let (journals, mut content) =
            Journals::open(&setting, &needed, &metrics, &ReadBack::default()).unwrap();
        let registry = Registry::new().unwrap();
        let retention = Retention { age: Duration::from_secs(3_600), bytes: None };
        let mut open = |name, number| {
            let parts = content.parts.remove(&ShardNumber(number)).unwrap_or_default();
            let log = DurableLog::new(ShardNumber(number), SequenceNumber(1_000), parts, retention, 0);
            stream(name, number, Arc::new(log), &journals, &registry)
        };
        let (source, target) = (open("source", SOURCE), open("target", TARGET));
        Self { journals, source, target, registry, disk }
    }

    fn stage(&self, address: SocketAddr) -> Stage {
        let budget = Budget::new(16 << 20);
        let url = format!("http://{address}/").parse().unwrap();
        let paying = Arc::clone(&budget);
        let spec = Spec {
            function: Function {
                name: "f".into(),
                url,
                timeout: Duration::from_secs(30),
                headers: Vec::new(),
            },
            buffer_bytes: 40,
            buffer_interval: Duration::ZERO,
            retries: 50,
            origin: Origin { arn: "a".into(), region: "r".into() },
        };
        Stage::open(Parts {
            spec,
            source: Arc::clone(&self.source),
            reader: self.source.add_reader(),
            target: Arc::clone(&self.target),
            admit: Arc::new(move |bytes| Some(paying.take_anyway(bytes))),
            admit_from: Arc::clone(&budget),
            budget,
            files: DocumentFolder::of_functions(Arc::new(self.disk.clone()), Path::new("/data")),
            metrics: self.registry.function("target", "f"),
        })
        .unwrap()
    }

    /// Appends numbers to the source. Whether they are a fact.
    async fn send(&self, ids: std::ops::Range<u64>) -> bool {
        let (mut body, mut records) = (Vec::new(), Vec::new());
        for id in ids {
            let start = body.len();
            body.extend_from_slice(id.to_string().as_bytes());
            let payload = Span::new(start, body.len());
            records.push(RecordSpans { payload, key: Span::ABSENT, refusal: Span::ABSENT });
        }
        let permit = Budget::new(1).take_anyway(0);
        let (body, side, arrival) = (Bytes::from(body), Bytes::new(), clock::wall());
        let source = Source { body, content: Content::Any, side, arrival, permit };
        let batch = Batch {
            source: Arc::new(source),
            records: records.into(),
            captures: Box::default(),
            aggregates: Box::default(),
        };
        match self.source.append(vec![(ShardId(0), batch)], None) {
            Ok(receipt) => receipt.await.is_ok(),
            Err(_) => false,
        }
    }

    /// What is in the target: how often each number is there, and whether as a dead letter.
    async fn found(&self) -> BTreeMap<u64, Vec<bool>> {
        let payer = Payer { budget: Budget::new(16 << 20), overdraws: true };
        let mut found = BTreeMap::<u64, Vec<bool>>::new();
        let (mut from, mut last) = (SequenceNumber(0), None);
        loop {
            let read = self.target.read(ShardId(0), from, ReadLimit::bytes(1 << 20), &payer).await.unwrap();
            if read.slices.is_empty() {
                return found;
            }
            for slice in &read.slices {
                let source = &slice.batch.source;
                for record in slice.batch.records.iter().skip(slice.skip) {
                    let payload = std::str::from_utf8(source.bytes(record.payload)).unwrap();
                    let is_letter = record.refusal.is_present();
                    // What has failed is there as it came.
                    assert_eq!(payload.contains(' '), !is_letter, "{payload}");
                    let id = payload.split(' ').next().unwrap().parse().unwrap();
                    assert!(last < Some(id), "{id} is behind {last:?}");
                    last = Some(id);
                    found.entry(id).or_default().push(is_letter);
                }
            }
            from = read.next;
        }
    }
}

async fn lives(seed: u64, address: SocketAddr) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut disk = SimulatedDisk::new(seed);
    for folder in ["/data", "/log"] {
        disk.create_folder(Path::new(folder)).unwrap();
    }
    let (mut next, mut acked) = (0, Vec::new());
    for _ in 0..4 {
        let life = Life::begin(disk.clone());
        disk.cut_power_after(random.u64(5..120));
        let stage = life.stage(address);
        let working = tokio::spawn(stage.run(Phases::new(), Stop::new()));
        while !disk.is_off() {
            let count = random.u64(1..12);
            let ids = next..next + count;
            next += count;
            if life.send(ids.clone()).await {
                acked.extend(ids);
            }
            tokio::task::yield_now().await;
        }
        working.abort();
        // A task that is aborted has ended once it is joined.
        let _ = working.await;
        life.journals.stop();
        disk = disk.crash();
    }
    let life = Life::begin(disk);
    let stage = life.stage(address);
    let (seen, stop) = (stage.seen(), Stop::new());
    let working = tokio::spawn(stage.run(Phases::new(), stop.clone()));
    let started = Instant::now();
    while seen.lag() > 0 {
        assert!(started.elapsed() < PATIENCE, "seed {seed}: it does not come to an end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.tell();
    working.await.unwrap();
    let found = life.found().await;
    // What is kept of it tells the same as the logs.
    let kept: Progress = DocumentFolder::of_functions(Arc::new(life.disk.clone()), Path::new("/data"))
        .read("source")
        .unwrap()
        .unwrap();
    let (positions, passed) = kept.at(target_end(&life.target));
    assert_eq!(passed.all(), positions[&ShardId(0)].0 - 1_000, "seed {seed}: {kept:?}");
    assert_eq!(passed.in_target(), found.len() as u64, "seed {seed}: {kept:?}");
    for id in acked {
        let wanted: &[bool] = match outcome(id) {
            "Dropped" => &[],
            "Ok" => &[false],
            _ => &[true],
        };
        assert_eq!(found.get(&id).map_or(&[][..], Vec::as_slice), wanted, "seed {seed}: {id}");
    }
    assert_eq!(found.iter().find(|(_, times)| times.len() > 1), None, "seed {seed}");
    life.journals.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_result_is_in_the_target_once_whenever_the_power_goes() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = function().await;
    for seed in 0..SEEDS {
        lives(seed, address).await;
    }
}

/// A life with a stage that waits for an hour, unless 40 bytes have come.
async fn patient(address: SocketAddr) -> (Life, Stage) {
    let disk = SimulatedDisk::new(1);
    for folder in ["/data", "/log"] {
        disk.create_folder(Path::new(folder)).unwrap();
    }
    let life = Life::begin(disk);
    let mut stage = life.stage(address);
    stage.parts.spec.buffer_interval = Duration::from_secs(3_600);
    (life, stage)
}

async fn step(stage: &mut Stage) -> Step {
    tokio::time::timeout(PATIENCE, stage.prepare()).await.unwrap()
}

/// Where the stage will look for more, once it has looked and found too few.
async fn waits_until(stage: &mut Stage) -> u64 {
    let Step::Wait(pause) = step(stage).await else { panic!("they are too few") };
    assert!(pause <= Duration::from_secs(3_600));
    let waiting = stage.waiting[&ShardId(0)];
    assert_eq!(waiting.from, SequenceNumber(1_000));
    waiting.to.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_waits_for_more_looks_only_at_what_has_come() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (life, mut stage) = patient(function().await).await;
    // Two bytes each.
    assert!(life.send(10..14).await);
    assert_eq!(waits_until(&mut stage).await, 1_004);
    let known = stage.waiting[&ShardId(0)];
    let most = ReadLimit { bytes: 40, records: FUNCTION_RECORDS_MAX };
    let room = known.room(most);
    assert_eq!((room.bytes, room.records), (32, FUNCTION_RECORDS_MAX - 4));
    assert_eq!(waits_until(&mut stage).await, 1_004, "nothing has come");
    assert_eq!(stage.waiting[&ShardId(0)], known);
    for id in 14..29 {
        assert!(life.send(id..id + 1).await);
        assert_eq!(waits_until(&mut stage).await, 1_000 + id - 9);
    }
    // 38 bytes and 4: there is no room for both of these.
    assert!(life.send(29..31).await);
    let Step::Made(made) = step(&mut stage).await else { panic!("they are enough") };
    assert_eq!((made.sent, made.to), (20, SequenceNumber(1_020)));
    assert!(stage.waiting.is_empty());
    life.journals.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_have_waited_for_the_interval_go_however_few_they_are() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (life, mut stage) = patient(function().await).await;
    assert!(life.send(10..13).await);
    assert_eq!(waits_until(&mut stage).await, 1_003);
    assert!(life.send(13..14).await);
    stage.parts.spec.buffer_interval = Duration::ZERO;
    let Step::Made(made) = step(&mut stage).await else { panic!("they are due") };
    assert_eq!((made.sent, made.to), (4, SequenceNumber(1_004)), "with those that nobody has looked at");
    life.journals.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_goes_on_when_memory_of_either_share_comes_back() {
    use futures_util::FutureExt as _;

    let _ = rustls::crypto::ring::default_provider().install_default();
    let (life, mut stage) = patient(function().await).await;
    stage.parts.spec.buffer_interval = Duration::ZERO;
    let ingest = Budget::new(1 << 20);
    let paying = Arc::clone(&ingest);
    stage.parts.admit = Arc::new(move |bytes| paying.try_take(bytes));
    stage.parts.admit_from = Arc::clone(&ingest);
    assert!(life.send(10..20).await);
    let delivery = Arc::clone(&stage.parts.budget);
    let (of_one, of_other) =
        (delivery.take_anyway(delivery.capacity()), ingest.take_anyway(ingest.capacity()));
    let mut preparing = Box::pin(stage.prepare());
    assert!(preparing.as_mut().now_or_never().is_none(), "the delivery share is spent");
    drop(of_one);
    let early = tokio::time::timeout(Duration::from_millis(300), preparing.as_mut()).await;
    assert!(early.is_err(), "the ingest share is spent");
    drop(of_other);
    let Ok(Step::Made(made)) = tokio::time::timeout(PATIENCE, preparing).await else {
        panic!("there is memory")
    };
    assert_eq!(made.sent, 10);
    life.journals.stop();
}
