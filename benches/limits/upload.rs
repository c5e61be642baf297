//! Our sink beside a bare PUT of the same bytes to the same server, and what each costs this process.
//!
//! Needs an S3-compatible server: the variables that `tests/infra/s3.sh` sets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay::config::checked;

use forebay::delivery::sink::{NoNotes, Object, ObjectSink};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::harness::history::{Better, Figures};
use crate::harness::{Call, clocks, median};

const OBJECT_BYTES: usize = 8 << 20;
const CHUNK_BYTES: usize = 256 << 10;
const ROUNDS: usize = 15;
const KEY: &str = "bench/limits.bin";

/// Both take turns.
pub fn run(call: &Call, figures: &mut Figures) {
    let (Some(endpoint), Some(bucket)) = (variable("FOREBAY_S3_ENDPOINT"), variable("FOREBAY_S3_BUCKET"))
    else {
        println!("\nupload: not measured, since FOREBAY_S3_ENDPOINT and FOREBAY_S3_BUCKET name no server");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::from_env()
        .with_endpoint(&endpoint)
        .with_allow_http(true)
        .with_bucket_name(&bucket)
        .build()
        .unwrap();
    let sink = sink(&endpoint, &bucket);
    let chunks = vec![Bytes::from(vec![b'x'; CHUNK_BYTES]); OBJECT_BYTES / CHUNK_BYTES];
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..call.rounds(ROUNDS) {
        let payload: PutPayload = chunks.iter().cloned().collect();
        bare.push(timed(|| {
            runtime.block_on(store.put(&Path::from(KEY), payload)).unwrap();
        }));
        let identity = format!("limits-{round}");
        let key = format!("{KEY}.{}-{round}", std::process::id());
        let object = Object { key: &key, chunks: &chunks, identity: &identity };
        ours.push(timed(|| {
            runtime.block_on(sink.store(&object, &NoNotes)).unwrap();
        }));
        runtime.block_on(store.delete(&Path::from(format!("limits/{key}")))).unwrap();
    }
    runtime.block_on(store.delete(&Path::from(KEY))).unwrap();
    print(&bare, &ours, figures);
}

fn print(bare: &[Upload], ours: &[Upload], figures: &mut Figures) {
    println!(
        "\nupload: objects of {} MiB; medians of {} rounds, taking turns",
        OBJECT_BYTES >> 20,
        bare.len()
    );
    println!("  {:<26} {:>9} {:>12}", "", "MB/s", "CPU s/GB");
    let cpu = |uploads: &[Upload]| median(uploads.iter().map(Upload::cpu_seconds_per_gb));
    for (name, uploads) in [("bare PUT", bare), ("our sink", ours)] {
        println!("  {name:<26} {:>9.0} {:>12.3}", median(uploads.iter().map(Upload::rate)), cpu(uploads));
    }
    figures.add("upload", "bare PUT", (cpu(bare), "CPU s/GB"), Better::Lower);
    let limit = ("bare PUT", cpu(ours) / cpu(bare));
    figures.add_beside("upload", "our sink", (cpu(ours), "CPU s/GB"), Better::Lower, limit);
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn sink(endpoint: &str, bucket: &str) -> ObjectSink {
    let mut options = std::collections::BTreeMap::new();
    let mut set = |name: &str, value: &str| options.insert(name.to_owned(), value.to_owned());
    set("aws_endpoint", endpoint);
    set("aws_allow_http", "true");
    for (option, name) in [
        ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("aws_region", "AWS_REGION"),
    ] {
        set(option, &variable(name).unwrap_or_default());
    }
    let url = format!("s3://{bucket}/limits/").parse().unwrap();
    ObjectSink::open(&checked::ObjectSink { url, options, multipart_bytes: 64 << 20 }).unwrap()
}

/// One upload of [`OBJECT_BYTES`].
struct Upload {
    wall: Duration,
    cpu: Duration,
}

impl Upload {
    fn rate(&self) -> f64 {
        OBJECT_BYTES as f64 / 1e6 / self.wall.as_secs_f64()
    }

    fn cpu_seconds_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / (OBJECT_BYTES as f64 / 1e9)
    }
}

fn timed(upload: impl FnOnce()) -> Upload {
    let (started, cpu) = (Instant::now(), clocks::process_cpu());
    upload();
    Upload { wall: started.elapsed(), cpu: clocks::process_cpu() - cpu }
}
