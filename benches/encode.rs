//! How fast records become files, in bytes of input a second on one core. Nothing is uploaded or written to disk.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use forebay::config::checked::{
    Format, JsonCompression, JsonFormat, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat,
};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::delivery::encode::{self, Encoder, Row};
use forebay::schema::columns::Columns;
use forebay::testkit::web_events;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of one file: 33 MB of input.
const RECORDS: u64 = 100_000;

fn columns() -> Arc<Columns> {
    Arc::new(Columns::declared(&web_events::columns()).unwrap())
}

fn file(mut encoder: Box<dyn Encoder>, events: &[String]) -> usize {
    for event in events {
        encoder.push(Row::of_payload(event)).unwrap();
    }
    encoder.finish(&[]).unwrap().iter().map(|chunk| chunk.len()).sum()
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
    let events: Vec<_> = (0..RECORDS).map(web_events::event).collect();
    let columns = columns();
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
    let parquet = |compression| Format::Parquet(ParquetFormat::new(compression, Arc::clone(&columns)));
    let orc = |compression| Format::Orc(OrcFormat::new(compression, Arc::clone(&columns)));
    let enveloped = JsonFormat { compression: JsonCompression::None, envelope: true };
    for (name, format) in [
        ("json_lines/none", Format::from(JsonCompression::None)),
        ("json_lines/gzip_1", Format::from(JsonCompression::Gzip { level: 1 })),
        ("json_lines/gzip_6", Format::from(JsonCompression::Gzip { level: 6 })),
        ("json_lines/zstd_1", Format::from(JsonCompression::Zstd { level: 1 })),
        ("json_lines/snappy", Format::from(JsonCompression::Snappy)),
        ("json_lines/hadoop_snappy", Format::from(JsonCompression::HadoopSnappy)),
        ("json_lines/envelope", Format::Json(enveloped)),
        ("parquet/none", parquet(ParquetCompression::None)),
        ("parquet/snappy", parquet(ParquetCompression::Snappy)),
        ("parquet/zstd_1", parquet(ParquetCompression::Zstd { level: 1 })),
        ("parquet/gzip_1", parquet(ParquetCompression::Gzip { level: 1 })),
        ("parquet/lz4", parquet(ParquetCompression::Lz4)),
        ("orc/none", orc(OrcCompression::None)),
        ("orc/zlib_1", orc(OrcCompression::Zlib { level: 1 })),
        ("orc/snappy", orc(OrcCompression::Snappy)),
        ("orc/lz4", orc(OrcCompression::Lz4)),
        ("orc/zstd_1", orc(OrcCompression::Zstd { level: 1 })),
    ] {
        let stored = file(encode::open(&format), &events);
        println!("{name}: {:.2} times smaller than its input", input as f64 / stored as f64);
        group.bench_function(name, |bencher| {
            bencher.iter(|| file(encode::open(&format), &events));
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
