//! Deliveries to a real S3-compatible server, and to ones that stall, fail and lose replies.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use forebay::config::checked;
use forebay::delivery::ledger::shared::SharedPlace;
use forebay::delivery::ledger::{Entry, Epoch, Gap, Ledger};
use forebay::delivery::sink::{
    Head, NoNotes, Object, ObjectSink, SinkError, SinkErrorClass, Stored, open_store,
};
use forebay::record::{SequenceNumber, ShardId};
use forebay::testkit::faulty_store::{Fault, FaultyStore, Operation, Rule};
use forebay::testkit::skip::skipped;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use url::Url;

use crate::server::{Setup, stream};

/// The S3 server that `make test` starts.
struct S3 {
    endpoint: String,
    bucket: String,
    key: String,
    secret: String,
}

impl S3 {
    fn of_environment() -> Option<Self> {
        let found = (|| {
            let var = |name: &str| std::env::var(name).ok();
            Some(Self {
                endpoint: var("FOREBAY_S3_ENDPOINT")?,
                bucket: var("FOREBAY_S3_BUCKET")?,
                key: var("AWS_ACCESS_KEY_ID")?,
                secret: var("AWS_SECRET_ACCESS_KEY")?,
            })
        })();
        if found.is_none() {
            skipped("FOREBAY_S3_ENDPOINT is not set (`make test` starts an S3 server and sets it)");
        }
        found
    }

    fn sink(&self, endpoint: &str, bucket: &str, folder: &str) -> String {
        format!(
            "sink = {{ url = \"s3://{bucket}/{folder}/\", endpoint = \"{endpoint}\", region = \"us-east-1\", \
             access_key_id = \"{}\", secret_access_key = \"${{SECRET}}\", multipart = \"5MiB\" }}",
            self.key
        )
    }

    /// The sink of the library that leads to `folder`.
    fn object_sink(&self, folder: &str) -> ObjectSink {
        ObjectSink::open(&self.config(folder)).unwrap()
    }

    /// The settings of `folder`.
    fn config(&self, folder: &str) -> checked::ObjectSink {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = [
            ("aws_endpoint", self.endpoint.as_str()),
            ("aws_region", "us-east-1"),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", &self.key),
            ("aws_secret_access_key", &self.secret),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = Url::parse(&format!("s3://{}/{folder}/", self.bucket)).unwrap();
        checked::ObjectSink { url, options: options.into(), multipart_bytes: 5 << 20 }
    }

    fn store(&self) -> AmazonS3 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_bucket_name(&self.bucket)
            .with_region("us-east-1")
            .with_access_key_id(&self.key)
            .with_secret_access_key(&self.secret)
            .with_allow_http(true)
            .build()
            .unwrap()
    }

    /// Lines of all gzip objects below `folder`, and the sizes of the objects.
    async fn lines(&self, folder: &str) -> (Vec<String>, Vec<u64>) {
        let store = self.store();
        let list = store.list_with_delimiter(Some(&Path::from(folder))).await.unwrap();
        let (mut lines, mut sizes) = (Vec::new(), Vec::new());
        for object in &list.objects {
            sizes.push(object.size);
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            lines.extend(unzipped_lines(&bytes));
        }
        (lines, sizes)
    }
}

fn unzipped_lines(bytes: &[u8]) -> Vec<String> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

/// A folder of its own for each test.
fn folder(test: &str) -> String {
    format!("{test}-{}-{}", std::process::id(), fastrand::u64(..))
}

fn delivery(sink: &str, lines: &str) -> String {
    format!("[[delivery]]\nname = \"lake\"\n{sink}\nformat = \"json\"\nprefix = \"\"\n{lines}\n")
}

#[tokio::test]
async fn small_and_multipart_objects_come_back_complete() {
    let Some(s3) = S3::of_environment() else { return };
    let folder = folder("complete");
    let sink = s3.sink(&s3.endpoint, &s3.bucket, &folder);
    let config = stream("s", 1)
        + &delivery(&sink, "compression = \"gzip\"\nbuffer = { size = \"7MiB\", interval = \"1h\" }");
    let server = Setup::pipeline(config).env("SECRET", &s3.secret).start();
    // Random text hardly compresses, so that files are larger than a part of a multipart upload.
    let mut random = fastrand::Rng::with_seed(7);
    let mut sent = Vec::new();
    for _ in 0..40 {
        let lines: Vec<_> = (0..10)
            .map(|_| {
                format!("{{\"r\":\"{}\"}}", (0..80_000).map(|_| random.alphanumeric()).collect::<String>())
            })
            .collect();
        server.accept("s", lines.join("\n")).await;
        sent.extend(lines);
    }
    server.stop().assert_drained();
    let (found, mut sizes) = s3.lines(&folder).await;
    sizes.sort_unstable();
    let full = (7 << 20)..(8 << 20);
    assert!(
        sizes[1..].iter().all(|size| full.contains(size)) && sizes.len() >= 3,
        "files of 7 MiB: {sizes:?}"
    );
    assert!(found == sent, "{} of {} lines", found.len(), sent.len());
}

#[tokio::test]
async fn a_refused_write_pauses_the_delivery_and_drops_nothing() {
    let Some(s3) = S3::of_environment() else { return };
    for (bucket, class) in [("no-such-bucket-here", "not_found"), (s3.bucket.as_str(), "denied")] {
        let mut sink = s3.sink(&s3.endpoint, bucket, &folder("refused"));
        if class == "denied" {
            sink = sink.replace(&format!("access_key_id = \"{}\"", s3.key), "access_key_id = \"nobody\"");
        }
        let config = stream("s", 1) + &delivery(&sink, "buffer = { size = \"1MiB\", interval = \"1s\" }");
        let server =
            Setup::pipeline(config).env("SECRET", &s3.secret).server("drain_timeout = \"1s\"").start();
        server.accept("s", "{\"n\":1}").await;
        let labels = "stream=\"s\",delivery=\"lake\"";
        server.until("forebay_delivery_paused", labels, |paused| paused == 1.0).await;
        assert!(
            server.metric("forebay_delivery_upload_errors_total", &format!("class=\"{class}\"")).await >= 1.0
        );
        let (status, reasons) = server.admin_get("/readyz").await;
        assert_eq!(status, 503);
        assert!(reasons.contains("delivery 'lake' of stream 's' is paused"), "{reasons}");
        assert_eq!(server.metric("forebay_delivery_pending_records", labels).await, 1.0);
        let stopped = server.stop();
        assert_eq!(stopped.status.code(), Some(3));
        assert!(!stopped.stderr.contains(&s3.secret));
    }
}

/// A TCP proxy in front of the S3 server that can be shut: connections are then taken and never answered.
struct Gate {
    address: String,
    open: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

impl Gate {
    async fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (open, taken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let target = endpoint.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let (gate, count) = (Arc::clone(&open), Arc::clone(&taken));
        tokio::spawn(async move {
            loop {
                let (mut inner, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (target, gate) = (target.clone(), Arc::clone(&gate));
                tokio::spawn(async move {
                    let mut outer = tokio::net::TcpStream::connect(&target).await.unwrap();
                    let shut = async {
                        while gate.load(Ordering::Relaxed) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                        () = shut => { let _ = inner.shutdown().await; }
                    }
                });
            }
        });
        Self { address, open, taken }
    }
}

#[tokio::test]
async fn a_stalled_store_means_503_and_then_everything_accepted_is_delivered() {
    let Some(s3) = S3::of_environment() else { return };
    let gate = Gate::before(&s3.endpoint).await;
    let folder = folder("stalled");
    let sink = s3.sink(&gate.address, &s3.bucket, &folder);
    let config = stream("s", 4)
        + "[ingest]\npartition_key = \"/k\"\n"
        + &delivery(&sink, "compression = \"none\"\nbuffer = { size = \"2MiB\", interval = \"1s\" }")
            .replace("compression = \"none\"", "compression = \"gzip\"");
    let server = Setup::pipeline(config).node("memory_budget = \"32MiB\"").env("SECRET", &s3.secret).start();
    gate.open.store(false, Ordering::Relaxed);
    let mut random = fastrand::Rng::with_seed(11);
    let (mut accepted, mut refused, mut number) = (Vec::new(), 0, 0);
    while refused < 20 {
        let lines: Vec<_> = (0..20)
            .map(|_| {
                number += 1;
                let pad: String = (0..5_000).map(|_| random.alphanumeric()).collect();
                format!("{{\"k\":\"{}\",\"n\":{number},\"pad\":\"{pad}\"}}", number % 50)
            })
            .collect();
        let (status, reply) = server.post("s", "application/x-ndjson", lines.join("\n")).await;
        match status {
            200 => accepted.extend(lines),
            503 => {
                assert_eq!(reply["code"], "memory_full", "{reply}");
                refused += 1;
            }
            _ => panic!("{status}: {reply}"),
        }
        assert!(number < 100_000, "the budget never fills");
    }
    let used = server.metric("forebay_memory_used_bytes", "").await;
    assert!(used < f64::from(48 << 20), "{used} bytes are held of a budget of 32 MiB");
    let resident = server.metric("process_resident_memory_bytes", "").await;
    assert!(resident < f64::from((32 + 150) << 20), "{resident} bytes resident");
    assert_eq!(server.admin_get("/livez").await.0, 200);
    gate.open.store(true, Ordering::Relaxed);
    let labels = "stream=\"s\",delivery=\"lake\"";
    server.until("forebay_delivery_pending_records", labels, |pending| pending == 0.0).await;
    assert_eq!(server.accept("s", "{\"k\":\"after\"}").await, 1, "service resumes by itself");
    // On a thread of its own, because the gate needs this one to let the last upload pass.
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap().assert_drained();
    let (mut found, _) = s3.lines(&folder).await;
    accepted.push("{\"k\":\"after\"}".to_owned());
    found.sort_unstable();
    accepted.sort_unstable();
    assert!(found == accepted, "{} found, {} accepted", found.len(), accepted.len());
    assert!(gate.taken.load(Ordering::Relaxed) > 0);
}

async fn put(sink: &ObjectSink, content: &Bytes, identity: &str) -> Result<Stored, SinkError> {
    let chunks = std::slice::from_ref(content);
    sink.store(&Object { key: "dt=1/a b%2F.json", chunks, identity }, &NoNotes).await
}

/// What the stand-in of the other tests does for conditions, metadata and parts, a real server does as well.
#[tokio::test]
async fn a_real_store_takes_an_object_once_knows_whose_it_is_and_forgets_an_aborted_upload() {
    let Some(s3) = S3::of_environment() else { return };
    let (raw, folder) = (s3.store(), folder("repeated"));
    let plain = Path::from(format!("{folder}/plain"));
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    raw.put_opts(&plain, "first".into(), create()).await.unwrap();
    let again = raw.put_opts(&plain, "second".into(), create()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    for bytes in [1_000, 9 << 20] {
        let sink = s3.object_sink(&format!("{folder}/{bytes}"));
        let content: Bytes = (0..bytes).map(|place| (place >> 10) as u8 ^ place as u8).collect();
        let stored = put(&sink, &content, "node/s/d/1/7/abc").await.unwrap();
        assert_eq!(
            put(&sink, &content, "node/s/d/1/7/abc").await.unwrap(),
            stored,
            "found as it was confirmed"
        );
        let head = sink.head("dt=1/a b%2F.json").await.unwrap();
        let (bytes, etag) = (bytes as u64, stored.etag);
        assert_eq!(head, Some(Head { bytes, etag, identity: Some("node/s/d/1/7/abc".into()) }));
        let error = put(&sink, &content, "other").await.unwrap_err();
        assert_eq!(error.class, SinkErrorClass::Foreign, "{error}");
        let mut reader = sink.get("dt=1/a b%2F.json").await.unwrap();
        let mut read = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == content, "{} bytes read back of {bytes}", read.len());
        let shorter = content.slice(1..);
        put(&sink, &shorter, "node/s/d/1/7/abc").await.unwrap();
        assert_eq!(sink.head("dt=1/a b%2F.json").await.unwrap().unwrap().bytes, bytes - 1);
    }
    let sink = s3.object_sink(&folder);
    let path = Path::from(format!("{folder}/in-parts"));
    let upload = raw.create_multipart(&path).await.unwrap();
    let part = Bytes::from(vec![7; 5 << 20]);
    raw.put_part(&path, &upload, 0, part.clone().into()).await.unwrap();
    for _ in 0..2 {
        sink.abort_multipart("in-parts", &upload).await.unwrap();
    }
    assert!(raw.put_part(&path, &upload, 1, part.into()).await.is_err(), "the upload is gone");
    assert_eq!(sink.head("in-parts").await.unwrap(), None);
}

#[tokio::test]
async fn uploads_that_nobody_noted_are_found_and_taken_back_in_a_real_store() {
    let Some(s3) = S3::of_environment() else { return };
    let folder = folder("unnoted");
    let (raw, sink) = (s3.store(), s3.object_sink(&folder));
    let key = "k=a b&c%2Fü/s-d.json";
    let path = |name: &str| Path::parse(format!("{folder}/{name}")).unwrap();
    let part = Bytes::from(vec![7; 5 << 20]);
    let is_there =
        async |path: &Path, id: &String| raw.put_part(path, id, 1, part.clone().into()).await.is_ok();
    let (ours, others) = (path(key), [path(&format!("{key}.gz")), path("k=a b&c%2Fü/s"), path("z")]);
    let mut kept = Vec::new();
    for other in &others {
        kept.push((other, raw.create_multipart(other).await.unwrap()));
    }
    let identity = "node/s/d/1/7/abc";
    for round in 0..2 {
        let mut orphans = Vec::new();
        for has_parts in [false, true, false] {
            let id = raw.create_multipart(&ours).await.unwrap();
            if has_parts {
                raw.put_part(&ours, &id, 0, part.clone().into()).await.unwrap();
            }
            orphans.push(id);
        }
        let content = Bytes::from(vec![round; 9 << 20]);
        let object = Object { key, chunks: &[content], identity };
        if round == 0 {
            sink.store(&object, &NoNotes).await.unwrap();
        } else {
            // The object is there already, so that nothing is sent.
            sink.abort_unfinished(key).await.unwrap();
        }
        for id in &orphans {
            assert!(!is_there(&ours, id).await, "upload {id} is still there in round {round}");
        }
    }
    for (other, id) in &kept {
        assert!(is_there(other, id).await, "the upload of {other} is gone");
        raw.abort_multipart(other, id).await.unwrap();
    }
    assert_eq!(sink.head(key).await.unwrap().unwrap().bytes, 9 << 20);
}

#[tokio::test]
async fn a_store_that_fails_and_loses_replies_at_random_shows_each_record_once() {
    let store = FaultyStore::start_with(Default::default(), 23).unwrap();
    // Each at least once, and then at random.
    for fault in [Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Drop] {
        for rule in [Rule::new(Operation::Put, fault), Rule::new(Operation::Put, fault).once_done()] {
            store.rule(rule.clone());
            store.rule(rule.in_thousand(20).always());
        }
    }
    let config = stream("s", 2)
        + "[ingest]\npartition_key = \"/k\"\n"
        + &delivery(&store.sink_line("lake/"), "buffer = { size = \"64KiB\", interval = \"1s\" }")
            .replace("prefix = \"\"", "prefix = \"k={/k}/\"");
    let server = Setup::pipeline(config).server("drain_timeout = \"60s\"").start();
    let mut random = fastrand::Rng::with_seed(29);
    let mut sent = Vec::new();
    for _ in 0..80 {
        let lines: Vec<_> = (0..20)
            .map(|_| {
                let pad: String = (0..2_000).map(|_| random.alphanumeric()).collect();
                format!("{{\"k\":\"{}\",\"pad\":\"{pad}\"}}", random.u8(..3))
            })
            .collect();
        server.accept("s", lines.join("\n")).await;
        sent.extend(lines);
    }
    server.stop().assert_drained();
    let objects: BTreeMap<_, _> = store.objects();
    assert!(objects.len() > 5, "{} files", objects.len());
    let mut found: Vec<_> = objects.values().flat_map(|object| unzipped_lines(&object.bytes)).collect();
    found.sort_unstable();
    sent.sort_unstable();
    assert!(found == sent, "{} found, {} sent", found.len(), sent.len());
    assert!(objects.values().all(|object| object.writes == 1), "nothing was written twice");
    let of_status = |status| store.requests().iter().filter(|request| request.status == status).count();
    assert!(of_status(Some(500)) >= 2 && of_status(Some(503)) >= 2 && of_status(None) >= 2);
}

fn gap(number: u64) -> Entry {
    let (first, last) = (SequenceNumber(100 + 10 * number), SequenceNumber(109 + 10 * number));
    Entry::Gap(Gap { shard: ShardId(0), first, last, lost: 0 })
}

#[tokio::test]
async fn a_ledger_in_a_real_store_has_one_owner_at_a_time() {
    let Some(s3) = S3::of_environment() else { return };
    let folder = format!("ledgers-{:x}", fastrand::u64(..));
    let (store, root) = open_store(&s3.config(&folder)).unwrap();
    let place = || SharedPlace::of(&store, &root, ("s", "d", ShardId(0)));
    let (first, state) = Ledger::take_over(place(), "a").await.unwrap();
    assert_eq!(state.generation.map(|generation| generation.number), Some(1));
    let from = vec![(ShardId(0), SequenceNumber(100))];
    let epoch = Epoch { number: 1, config: serde_json::json!({}), from };
    first.append(vec![Entry::Epoch(epoch)]).await.unwrap();
    for number in 0..100 {
        first.append(vec![gap(number)]).await.unwrap();
    }
    // Some want it at the same time. One of them has it in the end, and knows everything.
    let takers = ["b", "c", "d"].map(|node| Ledger::take_over(place(), node));
    let taken: Vec<_> =
        futures_util::future::join_all(takers).await.into_iter().map(Result::unwrap).collect();
    assert!(first.append(vec![gap(100)]).await.unwrap_err().is_deposed());
    let mut owners = Vec::new();
    for (ledger, state) in taken {
        assert_eq!(state.shards[&ShardId(0)].skipped, 1_000);
        match ledger.append(vec![gap(101)]).await {
            Ok(()) => owners.push(ledger),
            Err(error) => assert!(error.is_deposed(), "{error}"),
        }
    }
    let [owner] = owners.as_slice() else { panic!("{} owners", owners.len()) };
    let (_, state) = Ledger::take_over(place(), "e").await.unwrap();
    assert_eq!(state.shards, owner.state().shards);
    assert_eq!(state.shards[&ShardId(0)].skipped, 1_010);
}
