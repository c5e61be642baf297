//! How fast records become files, in bytes of input a second on one core. Nothing is uploaded or written to disk.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forebay::config::checked::{Format, JsonCompression, ParquetCompression};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::delivery::encode::{self, Encoder};
use forebay::schema::columns::{ColumnDeclaration, Columns};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of one file: 33 MB of input.
const RECORDS: u64 = 100_000;

const PATHS: [&str; 8] =
    ["product", "article", "search", "api/v1/items", "static/js/app", "image", "user", "cart"];
const REFERRERS: [&str; 4] = [
    "-",
    "https://www.shop.example/search?q=running+shoes&page=2",
    "https://news.example/2026/02/28/a-long-headline-about-something",
    "https://www.shop.example/",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36 Chrome/131.0.",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "curl/8.5.",
];

/// Numbers that look like noise, the same in each run.
fn noise(index: u64) -> u64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

/// Web events of about 331 bytes.
fn events() -> Vec<String> {
    let event = |index: u64| {
        let noise = noise(index);
        let pick = |count: usize, shift: u32| ((noise >> shift) % count as u64) as usize;
        let (minute, second, millis) = (index / 60_000 % 60, index / 1_000 % 60, index % 1_000);
        let client = noise % 5_000;
        let mut text = String::with_capacity(400);
        write!(
            text,
            concat!(
                r#"{{"client_ip":"10.{}.{}.{}","timestamp":"2026-02-28T10:{:02}:{:02}.{:03}Z","method":"{}","#,
                r#""path":"/{}/{}?ref={:x}","protocol":"HTTP/1.1","status":{},"bytes":{},"referrer":"{}","user_agent":"{}{}"}}"#
            ),
            client % 7,
            client % 251,
            client % 241,
            minute,
            second,
            millis,
            ["GET", "GET", "GET", "POST"][pick(4, 3)],
            PATHS[pick(8, 5)],
            pick(20_000, 11),
            noise >> 30,
            [200, 200, 200, 304, 404, 500][pick(6, 13)],
            pick(60_000, 17),
            REFERRERS[pick(4, 23)],
            AGENTS[pick(4, 29)],
            pick(300, 33),
        )
        .unwrap();
        text
    };
    (0..RECORDS).map(event).collect()
}

fn columns() -> Arc<Columns> {
    let declaration = |(name, type_text): (&str, &str)| ColumnDeclaration {
        name: name.to_owned(),
        type_text: type_text.to_owned(),
        nullable: true,
    };
    let declared = [
        ("client_ip", "string"),
        ("timestamp", "timestamp_micros"),
        ("method", "string"),
        ("path", "string"),
        ("protocol", "string"),
        ("status", "int32"),
        ("bytes", "int64"),
        ("referrer", "string"),
        ("user_agent", "string"),
    ];
    Arc::new(Columns::declared(&declared.map(declaration)).unwrap())
}

fn file(mut encoder: Box<dyn Encoder>, events: &[String]) -> usize {
    for event in events {
        encoder.push(event).unwrap();
    }
    encoder.finish().unwrap().iter().map(|chunk| chunk.len()).sum()
}

/// Batches of the size that the Parquet encoder takes.
fn batches(rows: &mut RecordColumns, events: &[String]) {
    for batch in events.chunks(3_168) {
        for event in batch {
            rows.push(event).unwrap();
        }
        black_box(rows.take_batch().unwrap());
    }
}

fn encode(criterion: &mut Criterion) {
    let (events, columns) = (events(), columns());
    let input: usize = events.iter().map(|event| event.len() + 1).sum();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(input as u64)).sample_size(20);
    group.bench_function("columns", |bencher| {
        bencher.iter_batched_ref(
            || RecordColumns::new(&columns),
            |rows| batches(rows, &events),
            BatchSize::PerIteration,
        );
    });
    let parquet = |compression| Format::Parquet { compression, columns: Arc::clone(&columns) };
    for (name, format) in [
        ("json_lines/none", Format::Json { compression: JsonCompression::None }),
        ("json_lines/gzip_1", Format::Json { compression: JsonCompression::Gzip { level: 1 } }),
        ("json_lines/gzip_6", Format::Json { compression: JsonCompression::Gzip { level: 6 } }),
        ("parquet/none", parquet(ParquetCompression::None)),
        ("parquet/snappy", parquet(ParquetCompression::Snappy)),
    ] {
        let stored = file(encode::open(&format, Vec::new()), &events);
        println!("{name}: {:.2} times smaller than its input", input as f64 / stored as f64);
        group.bench_function(name, |bencher| {
            bencher.iter(|| file(encode::open(&format, Vec::new()), &events));
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
