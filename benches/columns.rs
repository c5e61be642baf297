//! JSON to columns on one core, beside what others do with the same records in the same run: simd-json, which fills
//! its tape and builds nothing, and arrow-json, which decodes into the same columns.
//!
//! The goals: 65 % of the tape's speed, 1.5 times that of arrow-json, and one bad record in a hundred costs at most
//! 5 %.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

#[path = "harness/clocks.rs"]
#[expect(dead_code, reason = "each bench uses its part")]
mod clocks;

use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use forebay::delivery::encode::columns::RecordColumns;
use forebay::runtime::clock::UnixMicros;
use forebay::schema::columns::{ColumnDeclaration, Columns};
use forebay::testkit::generators::{Generator, KeyPicker, Profile, Settings};
use forebay::testkit::web_events;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Input of a round: more than any cache holds.
const INPUT_BYTES: usize = 32 << 20;
/// Without `--bench` all of it only has to work.
const QUICK_BYTES: usize = 1 << 20;
const ROUNDS: usize = 11;
/// Rows of our batches, about as the Parquet encoder asks for them.
const BATCH_BYTES: usize = 1 << 20;
const BAD_IN: usize = 100;

const TELEMETRY: [(&str, &str); 13] = [
    ("producer", "string"),
    ("sequence", "int64"),
    ("hash", "string"),
    ("service", "string"),
    ("host", "string"),
    ("timestamp", "timestamp_micros"),
    ("level", "string"),
    ("trace_id", "string"),
    ("span_id", "string"),
    ("message", "string"),
    ("duration_ms", "float64"),
    ("http", "struct<method: string, route: string, status: int32>"),
    ("labels", "map<string, string>"),
];

const NGINX: [(&str, &str); 15] = [
    ("version", "int32"),
    ("nginx_version", "string"),
    ("address", "string"),
    ("generation", "int64"),
    ("load_timestamp", "timestamp_millis"),
    ("timestamp", "timestamp_millis"),
    ("pid", "int64"),
    ("processes", "struct<respawned: int64>"),
    ("connections", "struct<accepted: int64, dropped: int64, active: int64, idle: int64>"),
    ("ssl", "struct<handshakes: int64, handshakes_failed: int64, session_reuses: int64>"),
    ("requests", "struct<total: int64, current: int64>"),
    (
        "server_zones",
        "map<string, struct<processing: int64, requests: int64, responses: struct<1xx: int64, 2xx: int64, 3xx: int64, \
         4xx: int64, 5xx: int64, total: int64>, discarded: int64, received: int64, sent: int64>>",
    ),
    (
        "upstreams",
        "map<string, struct<peers: list<struct<id: int64, server: string, backup: bool, weight: int64, state: string, \
         active: int64, requests: int64, responses: struct<1xx: int64, 2xx: int64, 3xx: int64, 4xx: int64, 5xx: int64, \
         total: int64>, sent: int64, received: int64, fails: int64, unavail: int64, health_checks: struct<checks: \
         int64, fails: int64, unhealthy: int64, last_passed: bool>, downtime: int64, downstart: timestamp_millis, \
         selected: timestamp_millis>>, keepalive: int64>>",
    ),
    (
        "caches",
        "map<string, struct<size: int64, max_size: int64, cold: bool, hit: struct<responses: int64, bytes: int64>, \
         stale: struct<responses: int64, bytes: int64>, updating: struct<responses: int64, bytes: int64>, \
         revalidated: struct<responses: int64, bytes: int64>, miss: struct<responses: int64, bytes: int64, \
         responses_written: int64, bytes_written: int64>, expired: struct<responses: int64, bytes: int64, \
         responses_written: int64, bytes_written: int64>, bypass: struct<responses: int64, bytes: int64, \
         responses_written: int64, bytes_written: int64>>>",
    ),
    (
        "stream",
        "struct<server_zones: map<string, struct<processing: int64, connections: int64, received: int64, sent: int64>>, \
         upstreams: map<string, struct<peers: list<struct<id: int64, server: string, backup: bool, weight: int64, \
         state: string, active: int64, max_conns: int64, connections: int64, connect_time: int64, first_byte_time: \
         int64, response_time: int64, sent: int64, received: int64, fails: int64, unavail: int64, health_checks: \
         struct<checks: int64, fails: int64, unhealthy: int64, last_passed: bool>, downtime: int64, downstart: \
         timestamp_millis, selected: timestamp_millis>>>>>",
    ),
];

/// Records of one kind, with their columns.
struct Input {
    name: &'static str,
    columns: Columns,
    records: Vec<String>,
    /// One in [`BAD_IN`] does not fit.
    mixed: Vec<String>,
    bytes: usize,
}

impl Input {
    fn new(name: &'static str, columns: Columns, records: Vec<String>) -> Self {
        // The last value of a record is wrong, so that as much as possible has to be undone.
        let spoiled = |record: &str| {
            let (before, _) = record.rsplit_once("\":").unwrap();
            let closers = &record[record.trim_end_matches(['}', ']']).len()..];
            format!("{before}\":[[]]{closers}")
        };
        let mixed = records.iter().enumerate();
        let mixed =
            mixed.map(|(index, record)| if index % BAD_IN == 7 { spoiled(record) } else { record.clone() });
        let bytes = records.iter().map(String::len).sum();
        Self { name, columns, mixed: mixed.collect(), records, bytes }
    }

    fn declared(columns: &[(&str, &str)]) -> Columns {
        let declared =
            columns.iter().map(|(name, type_text)| ColumnDeclaration::new(*name, *type_text, true));
        Columns::declared(&declared.collect::<Vec<_>>()).unwrap()
    }
}

fn web(bytes: usize) -> Input {
    let count = bytes / web_events::EVENT_BYTES;
    let records = (0..count as u64).map(web_events::event).collect();
    Input::new("web events", Columns::declared(&web_events::columns()).unwrap(), records)
}

fn telemetry(bytes: usize) -> Input {
    let keys = Arc::new(KeyPicker::new(1_000, 1.0).unwrap());
    let settings = Settings { profile: Profile::Telemetry, seed: 7, keys, record_bytes: 0 };
    let mut generator = Generator::new(&settings, "telemetry/bench/0").unwrap();
    let (mut records, mut total) = (Vec::new(), 0);
    while total < bytes {
        let mut record = Vec::new();
        generator.append(UnixMicros(1_772_272_800_000_000 + records.len() as i64), &mut record);
        total += record.len();
        records.push(String::from_utf8(record).unwrap());
    }
    Input::new("nested telemetry", Input::declared(&TELEMETRY), records)
}

/// Real documents of 5 KB, which are no part of the project.
fn nginx(bytes: usize) -> Option<Input> {
    let folder = std::env::var_os("FOREBAY_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = folder.join("nginx_status.ndjson.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!(
            "nginx status: left out, there is no {} (FOREBAY_TEST_DATA names its folder)",
            path.display()
        );
        return None;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let times = (bytes / text.len()).max(1);
    let records = (0..times).flat_map(|_| text.lines().map(str::to_owned)).collect();
    Some(Input::new("nginx status", Input::declared(&NGINX), records))
}

/// Something that goes through all records once.
struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, run: impl FnMut() + 'a) -> Self {
        Self { name, run: Box::new(run), rounds: Vec::new() }
    }

    /// Times that `self` is as fast as `other`, the median over rounds.
    fn against(&self, other: &Case<'_>) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(own, other)| other / own).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// simd-json works on bytes that it may change: they are copied into a buffer that is used again.
fn tape<'a>(input: &'a Input) -> Case<'a> {
    let mut buffers = simd_json::Buffers::new(1 << 16);
    let mut bytes = Vec::new();
    let mut tape = simd_json::Tape::null();
    Case::new("simd-json, tape only", move || {
        for record in &input.records {
            bytes.clear();
            bytes.extend_from_slice(record.as_bytes());
            let mut own = std::mem::replace(&mut tape, simd_json::Tape::null()).reset();
            simd_json::fill_tape(&mut bytes, &mut buffers, &mut own).unwrap();
            black_box(&own.0);
            tape = own.reset();
        }
    })
}

/// Zones by offset: arrow-json has no database of names.
fn with_fixed_zone(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::new(field.name(), with_fixed_zone(field.data_type()), field.is_nullable()))
    };
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::List(element) => DataType::List(field(element)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

fn arrow_json<'a>(input: &'a Input, name: &'static str, batch_rows: usize) -> Case<'a> {
    let DataType::Struct(fields) =
        with_fixed_zone(&DataType::Struct(input.columns.arrow_schema().fields().clone()))
    else {
        unreachable!()
    };
    // Members without a column are left out here as there.
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut decoder =
        arrow_json::ReaderBuilder::new(schema).with_batch_size(batch_rows).build_decoder().unwrap();
    Case::new(name, move || {
        for batch in input.records.chunks(batch_rows) {
            for record in batch {
                assert_eq!(decoder.decode(record.as_bytes()).unwrap(), record.len());
            }
            black_box(decoder.flush().unwrap());
        }
    })
}

fn ours<'a>(input: &'a Input, name: &'static str, records: &'a [String], bad: usize) -> Case<'a> {
    let mut rows = RecordColumns::new(&input.columns);
    Case::new(name, move || {
        let (mut refused, mut bytes) = (0, 0);
        for record in records {
            refused += usize::from(rows.push(record).is_err());
            bytes += record.len();
            if bytes >= BATCH_BYTES {
                black_box(rows.take_batch().unwrap());
                bytes = 0;
            }
        }
        black_box(rows.take_batch().unwrap());
        assert_eq!(refused, bad);
    })
}

fn measure(input: &Input, full: bool) {
    let bad = input.mixed.iter().zip(&input.records).filter(|(mixed, record)| mixed != record).count();
    let mut cases = vec![
        tape(input),
        arrow_json(input, "arrow-json, batches of 1,024", 1_024),
        arrow_json(input, "arrow-json, batches of 8,192", 8_192),
        ours(input, "ours", &input.records, 0),
        ours(input, "ours, one in 100 bad", &input.mixed, bad),
    ];
    for _ in 0..=if full { ROUNDS } else { 1 } {
        for case in &mut cases {
            let before = clocks::thread_cpu();
            (case.run)();
            case.rounds.push((clocks::thread_cpu() - before).as_secs_f64());
        }
    }
    // The first round warms up.
    for case in &mut cases {
        case.rounds.remove(0);
    }
    let count = input.records.len();
    println!(
        "\n{}: {count} records of {} bytes on average, one thread, CPU time",
        input.name,
        input.bytes / count
    );
    println!("  {:<32} {:>6} {:>10}   beside the tape", "", "MB/s", "ns/record");
    for case in &cases {
        let seconds = median(case.rounds.clone());
        let (rate, each) = (input.bytes as f64 / 1e6 / seconds, seconds * 1e9 / count as f64);
        println!("  {:<32} {rate:>6.0} {each:>10.1}   {:.2}", case.name, case.against(&cases[0]));
    }
    let [_, small, large, ours, mixed] = cases.as_slice() else { unreachable!() };
    println!(
        "  ours is {:.2} and {:.2} times as fast as arrow-json; one bad record in 100 leaves {:.3} of it",
        ours.against(small),
        ours.against(large),
        mixed.against(ours),
    );
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let bytes = if full { INPUT_BYTES } else { QUICK_BYTES };
    for input in [Some(web(bytes)), Some(telemetry(bytes)), nginx(bytes)].into_iter().flatten() {
        if wanted.is_none_or(|wanted| input.name.contains(wanted.as_str())) {
            measure(&input, full);
        }
    }
}
