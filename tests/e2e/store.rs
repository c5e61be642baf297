//! Deliveries to a real S3-compatible server, and to one that stalls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forebay::testkit::skip::skipped;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

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

    fn store(&self) -> impl ObjectStore {
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
        use std::io::Read;
        let store = self.store();
        let list = store.list_with_delimiter(Some(&Path::from(folder))).await.unwrap();
        let (mut lines, mut sizes) = (Vec::new(), Vec::new());
        for object in &list.objects {
            sizes.push(object.size);
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            lines.extend(text.lines().map(ToOwned::to_owned));
        }
        (lines, sizes)
    }
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
