//! What memory it takes to make a file of 512 MiB whose finished parts are handed over: of the encoder, by its own
//! account, and of the whole process, as the kernel counts it. Nothing is uploaded or written to disk.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

mod harness;

use std::hint::black_box;
use std::sync::Arc;

use forebay::config::checked::{
    Format, JsonCompression, OrcCompression, OrcFormat, ParquetCompression, ParquetFormat,
};
use forebay::delivery::encode::{self, Row};
use forebay::schema::columns::Columns;
use forebay::testkit::web_events;
use harness::Call;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
/// Different records: 17 MB, which come again and again.
const RECORDS: u64 = 50_000;
/// What is handed over between two looks at the process.
const LOOK_BYTES: u64 = 4 * MIB;

fn main() {
    let call = Call::read();
    let sizes = call.amount([64 * MIB, 512 * MIB], [MIB, 2 * MIB]);
    let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
    let events: Vec<_> = (0..RECORDS).map(web_events::event).collect();
    println!("format           file MiB   encoder MiB   process MiB   input MB");
    for (name, format) in [
        (
            "parquet snappy",
            Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(&columns))),
        ),
        (
            "parquet zstd",
            Format::Parquet(ParquetFormat::new(ParquetCompression::Zstd { level: 1 }, Arc::clone(&columns))),
        ),
        ("orc snappy", Format::Orc(OrcFormat::new(OrcCompression::Snappy, Arc::clone(&columns)))),
        ("json gzip", Format::from(JsonCompression::Gzip { level: 1 })),
    ] {
        if !call.wants(name) {
            continue;
        }
        for size in sizes {
            let before = resident_bytes();
            let Peaks { encoder, process, input, stored } = fill(&format, &events, size);
            println!(
                "{name:<15} {:>9.0} {:>13.1} {:>13.1} {:>10.0}",
                stored as f64 / MIB as f64,
                encoder as f64 / MIB as f64,
                process.saturating_sub(before) as f64 / MIB as f64,
                input as f64 / 1e6,
            );
        }
    }
}

#[derive(Default)]
struct Peaks {
    encoder: u64,
    process: u64,
    input: u64,
    stored: u64,
}

/// Fills a file of `size` bytes; what is finished of it is dropped as soon as there is any.
fn fill(format: &Format, events: &[String], size: u64) -> Peaks {
    let mut file = encode::open(format);
    let (mut peaks, mut looked) = (Peaks::default(), 0);
    for event in events.iter().cycle() {
        file.push(Row::of_payload(event)).unwrap();
        peaks.input += event.len() as u64;
        if peaks.input < looked {
            continue;
        }
        looked = peaks.input + MIB / 4;
        peaks.encoder = peaks.encoder.max(file.memory_bytes());
        let taken: u64 = black_box(file.take_finished()).iter().map(|chunk| chunk.len() as u64).sum();
        let next = peaks.stored + taken;
        if next / LOOK_BYTES > peaks.stored / LOOK_BYTES || peaks.process == 0 {
            peaks.process = peaks.process.max(resident_bytes());
        }
        peaks.stored = next;
        if peaks.stored >= size {
            break;
        }
    }
    let rest = file.finish(&[]).unwrap();
    peaks.process = peaks.process.max(resident_bytes());
    peaks.stored += rest.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    peaks
}

/// What the process has in memory, by the kernel's count.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}
