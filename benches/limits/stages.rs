//! Each stage on one thread, in CPU time, beside the best that something simpler does with the same bytes.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::DataType;
use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::config::checked::{Format, JsonCompression, ParquetCompression, ParquetFormat};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::delivery::encode::{self, Row};
use forebay::edge::decode::Framing;
use forebay::json::{Pointer, Scanner};
use forebay::schema::columns::Columns;
use forebay::schema::validation::{Plan, Scratch, Verdict};
use forebay::stream::HashKey;
use forebay::testkit::web_events;
use libdeflater::{CompressionLvl, Compressor};
use serde::de::IgnoredAny;

use crate::harness::door::Door;
use crate::harness::forebay::Judging;
use crate::harness::history::{Better, Figures};
use crate::harness::{Call, clocks, median};

/// 33 MB: more than any cache holds.
const EVENTS: u64 = 100_000;
const BODY_EVENTS: usize = 100;
/// What the JSON encoder compresses at a time.
const BLOCK_BYTES: usize = 256 << 10;
/// What the Parquet encoder makes columns of at a time, about.
const COLUMNS_EVENTS: usize = 3_000;
const KEY_BYTES: usize = 32;
const ROUNDS: usize = 9;
const DEFLATE_1: &str = "libdeflate, gzip level 1";
/// A log of 128 MiB takes four times the input.
const WARM_UPS: usize = 4;

/// The events in the forms in which stages get them.
struct Input {
    events: Vec<String>,
    bodies: Vec<String>,
    keys: Vec<[u8; KEY_BYTES]>,
    /// All lines, in blocks.
    blocks: Vec<Vec<u8>>,
    columns: Arc<Columns>,
}

impl Input {
    fn new() -> Self {
        let events: Vec<_> = (0..EVENTS).map(web_events::event).collect();
        let body = |events: &[String]| events.iter().map(|event| format!("{event}\n")).collect();
        let bodies: Vec<String> = events.chunks(BODY_EVENTS).map(body).collect();
        let key = |index| format!("{index:0KEY_BYTES$}").into_bytes().try_into().unwrap();
        Self {
            blocks: bodies.concat().as_bytes().chunks(BLOCK_BYTES).map(<[u8]>::to_vec).collect(),
            keys: (0..EVENTS).map(key).collect(),
            columns: Arc::new(Columns::declared(&web_events::columns()).unwrap()),
            events,
            bodies,
        }
    }

    fn bytes(&self) -> usize {
        self.bodies.iter().map(String::len).sum()
    }
}

/// Something that goes through the whole input once.
struct Case<'a> {
    name: &'static str,
    /// The case that it is compared with.
    beside: &'static str,
    run: Box<dyn FnMut() + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, beside: &'static str, run: impl FnMut() + 'a) -> Self {
        Self { name, beside, run: Box::new(run), rounds: Vec::new() }
    }

    /// How fast it is, and beside what.
    fn share(&self, cases: &[Case<'_>]) -> Option<(&'static str, f64)> {
        let other = cases.iter().find(|other| other.name == self.beside)?;
        let ratios = self.rounds.iter().zip(&other.rounds).map(|(own, other)| other / own);
        Some((other.name, median(ratios)))
    }
}

/// Measures and prints all of them.
pub fn run(call: &Call, figures: &mut Figures) {
    let input = Input::new();
    let mut cases = limits_of_reading(&input);
    cases.append(&mut our_reading(&input));
    cases.append(&mut limits_of_writing(&input));
    cases.append(&mut our_writing(&input));
    // Not counted: caches and pages get warm, and the logs so full that each append has to make room first.
    for case in &mut cases {
        (0..call.rounds(WARM_UPS)).for_each(|_| (case.run)());
    }
    for _ in 0..call.rounds(ROUNDS) {
        for case in &mut cases {
            let before = clocks::thread_cpu();
            (case.run)();
            case.rounds.push((clocks::thread_cpu() - before).as_secs_f64());
        }
    }
    print(call, &input, &cases);
    keep(&input, &cases, figures);
}

fn keep(input: &Input, cases: &[Case<'_>], figures: &mut Figures) {
    for case in cases {
        let rate = input.bytes() as f64 / 1e6 / median(case.rounds.iter().copied());
        let (part, figure) = ("stages", (rate, "MB/s"));
        match case.share(cases) {
            Some(limit) => figures.add_beside(part, case.name, figure, Better::Higher, limit),
            None => figures.add(part, case.name, figure, Better::Higher),
        }
    }
}

fn print(call: &Call, input: &Input, cases: &[Case<'_>]) {
    println!(
        "\nstages: {EVENTS} web events, {:.1} MB, one thread, CPU time; medians of {} rounds, taking turns",
        input.bytes() as f64 / 1e6,
        call.rounds(ROUNDS)
    );
    println!("  {:<40} {:>8} {:>9}   speed beside", "", "MB/s", "ns/event");
    for case in cases {
        let seconds = median(case.rounds.iter().copied());
        let ns = seconds * 1e9 / EVENTS as f64;
        // A hash of keys does not go through the events' bytes.
        let rate = match case.name.starts_with("MD5") {
            true => "-".to_owned(),
            false => format!("{:.0}", input.bytes() as f64 / 1e6 / seconds),
        };
        let beside = case.share(cases).map(|(other, share)| format!("{share:.2} x {other}"));
        println!("  {:<40} {rate:>8} {ns:>9.1}   {}", case.name, beside.unwrap_or_default());
    }
}

fn limits_of_reading(input: &Input) -> Vec<Case<'_>> {
    let bodies = &input.bodies;
    let mut copy = vec![0; bodies.iter().map(String::len).max().unwrap_or_default()];
    vec![
        Case::new("memcpy", "", move || {
            for body in bodies {
                copy[..body.len()].copy_from_slice(body.as_bytes());
                black_box(&copy);
            }
        }),
        Case::new("UTF-8 validation", "", move || {
            for body in bodies {
                black_box(std::str::from_utf8(black_box(body.as_bytes())).unwrap());
            }
        }),
        Case::new("newline split, memchr", "", move || {
            for body in bodies {
                black_box(memchr::memchr_iter(b'\n', body.as_bytes()).fold(0, |sum, at| sum ^ at));
            }
        }),
        Case::new("serde_json IgnoredAny", "", move || {
            for body in bodies {
                let values = serde_json::Deserializer::from_str(body).into_iter::<IgnoredAny>();
                assert_eq!(values.filter(Result::is_ok).count(), BODY_EVENTS);
            }
        }),
        Case::new("simd-json, tape", "", move || {
            let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::new(web_events::EVENT_BYTES));
            for event in &input.events {
                copy.clear();
                copy.extend_from_slice(event.as_bytes());
                black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).unwrap());
            }
        }),
        Case::new("XXH3, of frames of the log", "", move || {
            for body in bodies {
                black_box(xxhash_rust::xxh3::xxh3_64(black_box(body.as_bytes())));
            }
        }),
        Case::new("CRC-32, of gzip", "", move || {
            for body in bodies {
                black_box(crc32fast::hash(black_box(body.as_bytes())));
            }
        }),
        Case::new("SHA-256, of signed uploads", "", move || {
            for body in bodies {
                black_box(ring::digest::digest(&ring::digest::SHA256, black_box(body.as_bytes())));
            }
        }),
        Case::new("MD5 of a 32-byte key", "", move || {
            for key in &input.keys {
                black_box(HashKey::of(black_box(key)));
            }
        }),
        // As they come in: a request at a time.
        Case::new("our MD5, of the keys of a request", "MD5 of a 32-byte key", move || {
            for keys in input.keys.chunks(BODY_EVENTS) {
                black_box(HashKey::of_all(black_box(keys).iter().map(AsRef::as_ref), keys.len()));
            }
        }),
    ]
}

fn our_reading(input: &Input) -> Vec<Case<'_>> {
    let bodies = &input.bodies;
    let key = [Pointer::parse(web_events::KEY_POINTER).unwrap()];
    let check = |name, beside, plan: Plan| {
        let mut scratch = Scratch::new();
        Case::new(name, beside, move || {
            for body in bodies {
                assert_eq!(fitting(&plan, body, &mut scratch), BODY_EVENTS);
            }
        })
    };
    let schema = web_events::schema();
    let door = |name, beside, shards| {
        let door = Door::new(shards, Judging::SchemaAndKey);
        Case::new(name, beside, move || {
            for body in bodies {
                black_box(door.append(Framing::Lines, body.as_bytes()));
            }
        })
    };
    vec![
        Case::new("our scanner", "serde_json IgnoredAny", move || {
            for body in bodies {
                let mut scanner = Scanner::new(body);
                while scanner.peek().is_ok() {
                    scanner.skip_value().unwrap();
                }
                black_box(scanner.position());
            }
        }),
        check("our check, key only", "our scanner", Plan::compile(None, &key).unwrap()),
        check("our check, schema", "our scanner", Plan::compile(Some(&schema), &[]).unwrap()),
        check("our check, schema and key", "our scanner", Plan::compile(Some(&schema), &key).unwrap()),
        door("our edge: body to log, 1 shard", "our check, schema and key", 1),
        door("our edge: body to log, 4 shards", "our check, schema and key", 4),
    ]
}

fn fitting(plan: &Plan, body: &str, scratch: &mut Scratch) -> usize {
    let mut scanner = Scanner::new(body);
    let mut fitting = 0;
    while scanner.peek().is_ok() {
        fitting += usize::from(plan.check(&mut scanner, scratch) == Ok(Verdict::Fits));
        black_box(scratch.captures());
    }
    fitting
}

fn limits_of_writing(input: &Input) -> Vec<Case<'_>> {
    let blocks = &input.blocks;
    let libdeflate = |name, level| {
        let mut deflate = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut deflated = vec![0; deflate.gzip_compress_bound(BLOCK_BYTES)];
        Case::new(name, "", move || {
            for block in blocks {
                black_box(deflate.gzip_compress(block, &mut deflated).unwrap());
            }
        })
    };
    let zlib = |name, level| {
        Case::new(name, "", move || {
            for block in blocks {
                let mut encoder = GzEncoder::new(Vec::with_capacity(BLOCK_BYTES), Compression::new(level));
                encoder.write_all(block).unwrap();
                black_box(encoder.finish().unwrap());
            }
        })
    };
    let mut snappy = snap::raw::Encoder::new();
    let mut snapped = vec![0; snap::raw::max_compress_len(BLOCK_BYTES)];
    vec![
        libdeflate(DEFLATE_1, 1),
        libdeflate("libdeflate, gzip level 3", 3),
        libdeflate("libdeflate, gzip level 6", 6),
        libdeflate("libdeflate, gzip level 9", 9),
        zlib("zlib-rs, gzip level 1", 1),
        zlib("zlib-rs, gzip level 6", 6),
        dictionaries(input),
        Case::new("snappy", "", move || {
            for block in blocks {
                black_box(snappy.compress(block, &mut snapped).unwrap());
            }
        }),
    ]
}

/// What an encoder of columns has to do with texts at least: to find out which were there before.
fn dictionaries(input: &Input) -> Case<'_> {
    let mut rows = RecordColumns::new(&input.columns);
    let batches = input.events.chunks(COLUMNS_EVENTS).map(|batch| {
        batch.iter().for_each(|event| rows.push(event).unwrap());
        rows.take_batch().unwrap()
    });
    let texts: Vec<_> = batches
        .flat_map(|batch| batch.columns().to_vec())
        .filter(|column| is_text(column.data_type()))
        .collect();
    assert!(!texts.is_empty(), "web events have texts");
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Case::new("arrow, dictionaries of all texts", "", move || {
        for column in &texts {
            black_box(cast(column, &dictionary).unwrap());
        }
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn our_writing(input: &Input) -> Vec<Case<'_>> {
    let events = &input.events;
    let file = move |format: &Format| {
        let mut encoder = encode::open(format);
        for event in events {
            encoder.push(Row::of_payload(event)).unwrap();
        }
        black_box(encoder.finish(&[]).unwrap());
    };
    let json = Format::from(JsonCompression::Gzip { level: 1 });
    let parquet = Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(&input.columns)));
    let mut rows = RecordColumns::new(&input.columns);
    vec![
        Case::new("our JSON lines, gzip level 1", DEFLATE_1, move || file(&json)),
        Case::new("our columns", "our scanner", move || {
            for batch in events.chunks(COLUMNS_EVENTS) {
                for event in batch {
                    rows.push(event).unwrap();
                }
                black_box(rows.take_batch().unwrap());
            }
        }),
        Case::new("our Parquet, snappy", "snappy", move || file(&parquet)),
    ]
}
