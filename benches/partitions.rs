//! What it costs to have thousands of files open instead of one.
//!
//! ```text
//! cargo bench --bench partitions -- stage        # from stored records to closed files, one core, nothing is stored
//! cargo bench --bench partitions -- "whole way"  # from requests over HTTP to files in a folder, the whole server
//! ```
//! Rows differ in how much of each partition comes before its file is closed. Figures are bytes of input a second, of
//! the same records, measured in turn: all in one file; one partition whose files are as small as those of many; and
//! many partitions, all of which are open until the end. The first ratio, of the last two, is the price of open files;
//! the second, of the last to the first, has the price of small files in it as well.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has to stop and reports on its own output"
)]

#[path = "partitions/delivery.rs"]
mod delivery;
mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use delivery::Spread;
use forebay::config::checked::{
    self, BufferHints, DeadLetters, Delivery, Format, JsonCompression, OrcCompression, OrcFormat,
    ParquetCompression, ParquetFormat, Placement, Selection,
};
use forebay::delivery::classify::Classifier;
use forebay::delivery::encode::dead_letter::Envelope;
use forebay::delivery::files::Files;
use forebay::delivery::intake::{Intake, Setting};
use forebay::delivery::prefix::{PrefixTemplate, Terms};
use forebay::delivery::seal::{Origin, SealReason, Series};
use forebay::delivery::sink::ObjectSink;
use forebay::delivery::{Slots, Status};
use forebay::record::{Batch, Content, RecordSpans, SequenceNumber, ShardId, Source, Span};
use forebay::runtime::budget::Budget;
use forebay::runtime::clock::UnixMicros;
use forebay::schema::columns::Columns;
use forebay::stream::{Backing, Captures, Slice, Stream};
use forebay::telemetry::metrics::Registry;
use forebay::testkit::web_events;
use harness::{Call, clocks};
use url::Url;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Open at a time.
const PARTITIONS: u64 = 2_000;
/// Records of each partition when its file is closed.
const RECORDS: [u64; 3] = [20, 100, 400];
/// Records of a request.
const REQUEST_RECORDS: u64 = 500;
/// Measurements of each figure, of which the best counts.
const ROUNDS: usize = 5;
/// Far from what they hold.
const BUDGET: u64 = 8 << 30;

fn main() {
    let call = Call::read();
    println!("{}; load average {}", harness::machine(), harness::load_average());
    println!("MB of input a second; best of {} in turn\n", call.rounds(ROUNDS));
    println!(
        "{:<22} {:>12} {:>10} {:>10} {:>10} {:>6} {:>6} {:>14}",
        "what", "records each", "one file", "in turn", "2,000", "open", "all", "held"
    );
    let columns = Arc::new(Columns::declared(&web_events::columns()).unwrap());
    let stages = [
        ("json", Format::from(JsonCompression::None)),
        ("json gzip", Format::from(JsonCompression::Gzip { level: 1 })),
        ("parquet", Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::clone(&columns)))),
        ("orc", Format::Orc(OrcFormat::new(OrcCompression::Snappy, columns))),
    ];
    for (name, format) in stages {
        for records in RECORDS {
            let what = format!("stage {name}");
            if call.wants(&format!("{what} {records}")) {
                measure_stage(&call, &what, &format, records);
            }
        }
    }
    for (name, format) in [
        ("json", "compression = \"none\""),
        ("json gzip", "compression = \"gzip\""),
        ("parquet", "format = \"parquet\""),
        ("orc", "format = \"orc\""),
    ] {
        for records in RECORDS {
            let what = format!("whole way {name}");
            if call.wants(&format!("{what} {records}")) {
                measure_whole_way(&call, &what, format, records);
            }
        }
    }
}

/// From stored records to closed files.
fn measure_stage(call: &Call, what: &str, format: &Format, records: u64) {
    let world = World::new(format);
    let (one, many) = (slices(&world, 1, records), slices(&world, PARTITIONS, records));
    let bytes: u64 = one.iter().map(|slice| slice.batch.payload_bytes()).sum();
    let (mut best, mut held) = ([Duration::MAX; 3], 0);
    for _ in 0..call.rounds(ROUNDS) {
        let ways = [(&one, u64::MAX), (&one, records), (&many, u64::MAX)];
        for ((slices, file_records), best) in ways.into_iter().zip(&mut best) {
            let begun = clocks::thread_cpu();
            held = world.deliver(slices, file_records);
            *best = (clocks::thread_cpu() - begun).min(*best);
        }
    }
    report(what, (records, bytes), best, &format!("{:.1} MiB", held as f64 / f64::from(1 << 20)));
}

/// From requests to files in a folder.
fn measure_whole_way(call: &Call, what: &str, format: &str, records: u64) {
    let ways = [Spread::One, Spread::InTurn, Spread::AtOnce];
    let ways = ways.map(|spread| (spread, delivery::requests(spread, records)));
    let mut best = [Duration::MAX; 3];
    for _ in 0..call.rounds(ROUNDS) {
        for ((spread, (requests, _)), best) in ways.iter().zip(&mut best) {
            *best = delivery::deliver(requests, *spread, format).min(*best);
        }
    }
    let bytes = ways.iter().map(|(_, (_, bytes))| *bytes).max().unwrap_or_default();
    report(what, (records, bytes), best, "");
}

fn report(what: &str, (records, bytes): (u64, u64), best: [Duration; 3], held: &str) {
    let [one, in_turn, many] = best.map(|best| bytes as f64 / best.as_secs_f64() / 1e6);
    let (open, all) = (many / in_turn, many / one);
    println!(
        "{what:<22} {records:>12} {one:>10.0} {in_turn:>10.0} {many:>10.0} {open:>6.2} {all:>6.2} {held:>14}"
    );
}

/// What a delivery is made of.
struct World {
    config: Arc<Delivery>,
    captures: Captures,
    slots: Slots,
    stream: Arc<Stream>,
    registry: Registry,
}

impl World {
    fn new(format: &Format) -> Self {
        let terms = Terms::default();
        let config = Delivery {
            name: "lake".to_owned(),
            sink: checked::ObjectSink {
                url: Url::parse("file:///nowhere/").unwrap(),
                options: BTreeMap::new(),
                multipart_bytes: 1 << 30,
            },
            format: format.clone(),
            extension: None,
            buffer: BufferHints { size_bytes: 1 << 30, interval: Duration::from_secs(3_600) },
            prefix: PrefixTemplate::parse("p={/p}/dt={arrival_time:%Y-%m-%d}/", &terms).unwrap(),
            error_prefix: PrefixTemplate::parse("errors/{reason}/", &terms).unwrap(),
            dead_letters: DeadLetters {
                buffer: BufferHints { size_bytes: 1 << 30, interval: Duration::from_secs(3_600) },
                envelope: Envelope::Forebay,
            },
            event_time: None,
            selection: Selection::Fitting,
            placement: Placement::default(),
            open_partitions_max: PARTITIONS as usize,
        };
        let mut captures = Captures::default();
        let slots = Slots::of(&config, &mut captures);
        let registry = Registry::new().unwrap();
        let stream = checked::Stream {
            name: "s".to_owned(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(3_600),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let plan = captures.plan().unwrap();
        let stream = Arc::new(Stream::new(&stream, Backing::Memory, 1, plan, registry.stream("s")));
        Self { config: Arc::new(config), captures, slots, stream, registry }
    }

    /// Puts records into files and closes those, at the end or after so many records; returns the bytes that were held
    /// at the end.
    fn deliver(&self, slices: &[Slice], file_records: u64) -> u64 {
        let budget = Budget::new(BUDGET);
        let mut intake = Intake::new(Setting {
            config: Arc::clone(&self.config),
            class: Classifier::new("s".into(), Arc::clone(&self.config), self.slots.clone()),
            origin: Origin {
                stream: "s".into(),
                delivery: "lake".into(),
                node: "n".into(),
                series: Series::Run(1),
            },
            sink: ObjectSink::open(&self.config.sink).unwrap(),
            budget: Arc::clone(&budget),
            status: Arc::new(Status::new(Arc::clone(&self.stream), "lake", &self.registry)),
        });
        let mut files = Files::new(0);
        let close = |intake: &mut Intake, files: &mut Files| {
            for key in files.keys() {
                intake.seal(files, &key, SealReason::Shutdown).unwrap();
            }
        };
        let mut left = file_records;
        for slice in slices {
            let mut from = 0;
            while from < slice.len() {
                let count = (slice.len() - from).min(usize::try_from(left).unwrap());
                let taken = intake.take(ShardId(0), slice, from..from + count, (&mut files, None));
                assert!(taken.sealed.is_empty() && files.dead() == 0);
                (from, left) = (from + count, left - count as u64);
                if left == 0 {
                    close(&mut intake, &mut files);
                    left = file_records;
                }
            }
        }
        let held = budget.used();
        close(&mut intake, &mut files);
        held
    }
}

/// Records of `partitions` in turn, so many of each as `records` are of [`PARTITIONS`] partitions.
fn slices(world: &World, partitions: u64, records: u64) -> Vec<Slice> {
    let plan = world.captures.plan().unwrap();
    let all: Vec<u64> = (0..PARTITIONS * records).collect();
    let slice = |numbers: &[u64]| {
        let (mut body, mut spans) = (Vec::new(), Vec::new());
        for &number in numbers {
            let start = body.len();
            // Text of the same length, whatever the partition.
            let partition = number % partitions;
            body.extend_from_slice(format!("{{\"p\":\"{partition:06}\",").as_bytes());
            body.extend_from_slice(&web_events::event(number).as_bytes()[1..]);
            let payload = Span::new(start, body.len());
            spans.push(RecordSpans { payload, key: Span::ABSENT, refusal: Span::ABSENT });
        }
        let mut captures = Vec::new();
        plan.capture(&body, &spans, &mut captures);
        let permit = Budget::new(1 << 20).take_anyway(0);
        let arrival = UnixMicros(1_772_694_489_123_456);
        let (body, content) = (Bytes::from(body), Content::Json);
        let source = Arc::new(Source { body, content, side: Bytes::new(), arrival, permit });
        let batch =
            Batch { source, records: spans.into(), captures: captures.into(), aggregates: Box::default() };
        let first = SequenceNumber(numbers.first().copied().unwrap_or_default());
        Slice { batch: Arc::new(batch), skip: 0, first }
    };
    all.chunks(REQUEST_RECORDS as usize).map(slice).collect()
}
