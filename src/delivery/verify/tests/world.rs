//! A small delivery with everything that belongs to it: a log, a ledger, and a folder of objects.
//!
//! Two shards have 60 records each, from number 100 on, which take turns to belong to partitions `a`, `b`, `d` (dead
//! letters) and `q` (Parquet). What is below 120 is stored and below the cursor. What is below 140 is in closed files,
//! of which that of `a` is stored. The rest is pending.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use url::Url;

use crate::config::checked::{self, Format, JsonCompression, ParquetCompression, ParquetFormat};
use crate::delivery::encode::dead_letter::{DeadLetter, Envelope};
use crate::delivery::encode::{self, Encoder, Row};
use crate::delivery::ledger::{Commit, Cursor, Entry, Epoch, Ledger, Seal, SealedRange};
use crate::delivery::sink::{NoNotes, Object, ObjectSink};
use crate::delivery::verify::walk::{Held, Place, RecordSource};
use crate::delivery::verify::{Contents, DeliveryReport, Epochs, Evidence, Progress, verify};
use crate::record::{Batch, Content, RecordSpans, SequenceNumber, ShardId, Source, Span};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::RealDisk;
use crate::schema::columns::{ColumnDeclaration, Columns};
use crate::stream::{CapturePlan, Captures, Read, ReadError, Slice};

const SHARDS: u32 = 2;
/// Records of a batch.
const BATCH: u64 = 7;

pub fn at(number: u64) -> SequenceNumber {
    SequenceNumber(number)
}

/// The partition of a record.
pub fn partition_of(shard: u32, number: u64) -> u8 {
    b"abdq"[((number + u64::from(shard)) % 4) as usize]
}

/// The text of a record.
pub fn record(shard: u32, number: u64) -> String {
    let partition = partition_of(shard, number) as char;
    format!("{{\"p\":\"{partition}\",\"n\":{number},\r\n\"s\":{shard}}}")
}

/// A log in memory.
pub struct World {
    pub folder: TempDir,
    /// What the log has of each shard, in numbers.
    pub held: Vec<std::ops::Range<u64>>,
    pub ledger: Ledger,
    /// Files that are closed and not stored.
    pub open: Vec<Seal>,
    next_seal: u64,
}

impl RecordSource for World {
    fn shards(&self) -> Vec<Held> {
        let held = |(shard, held): (usize, &std::ops::Range<u64>)| Held {
            shard: ShardId(shard as u32),
            first: at(held.start),
            next: at(held.end),
        };
        self.held.iter().enumerate().map(held).collect()
    }

    fn read(&self, shard: ShardId, from: SequenceNumber, _: &CapturePlan) -> Result<Read, ReadError> {
        let held = &self.held[shard.0 as usize];
        let first = from.0.max(held.start);
        let end = held.end.min((first / BATCH + 1) * BATCH);
        let begin = (first / BATCH * BATCH).max(held.start);
        let batch = Arc::new(batch(shard.0, begin..end));
        let slice = Slice { batch, skip: (first - begin) as usize, first: at(first) };
        Ok(Read { slices: vec![slice], skipped: first - from.0, ..Read::nothing(at(end)) })
    }
}

fn batch(shard: u32, numbers: std::ops::Range<u64>) -> Batch {
    let (mut body, mut records) = (String::new(), Vec::new());
    for number in numbers {
        let start = body.len();
        body.push_str(&record(shard, number));
        let payload = Span::new(start, body.len());
        records.push(RecordSpans { payload, key: Span::ABSENT, refusal: Span::ABSENT });
    }
    let permit = Budget::new(u64::MAX).take_anyway(body.len() as u64);
    let (body, arrival) = (Bytes::from(body), UnixMicros(0));
    let source = Source { body, content: Content::Json, side: Bytes::new(), arrival, permit };
    Batch {
        source: Arc::new(source),
        records: records.into(),
        captures: Box::default(),
        aggregates: Box::default(),
    }
}

/// Sorts the records of a [`World`].
struct Sorter(PathBuf);

impl Epochs for Sorter {
    fn captures(&mut self, epoch: &Epoch) -> Result<Arc<CapturePlan>, String> {
        match epoch.config.as_str() {
            Some("known") => Ok(Arc::new(Captures::default().plan().unwrap())),
            _ => Err("another version has written it".to_owned()),
        }
    }

    fn home(&mut self, _: u32, place: Place<'_>, key: &mut Vec<u8>) {
        let text = std::str::from_utf8(place.payload()).unwrap();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        key.clear();
        key.extend(value["p"].as_str().unwrap().bytes());
    }

    fn contents(&mut self, _: &Epoch, seal: &Seal) -> Result<Contents, String> {
        Ok(Contents::of(&format(&seal.key)))
    }

    fn sink(&mut self, _: &Epoch) -> Result<ObjectSink, String> {
        Ok(sink(&self.0))
    }
}

fn sink(folder: &std::path::Path) -> ObjectSink {
    let url = Url::from_directory_path(folder.join("objects")).unwrap();
    ObjectSink::open(&checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 << 20 })
        .unwrap()
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn passed(&self, _: u64) {}
}

impl World {
    /// As the module says.
    pub async fn new() -> Self {
        let mut world = Self::empty();
        for (numbers, stored) in [(100..120, "abdq"), (120..140, "a")] {
            for partition in "abdq".chars() {
                let seal = world.seal(partition as u8, numbers.clone());
                world.append(&[Entry::Seal(seal.clone())]);
                if stored.contains(partition) {
                    world.store(&seal).await;
                } else {
                    world.open.push(seal);
                }
            }
            if numbers.start == 100 {
                world.move_cursor(120);
            }
        }
        world
    }

    /// Nothing but the log, and a ledger with an epoch.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) = Ledger::open(Arc::new(RealDisk), folder.path().join("ledger")).unwrap();
        let from = (0..SHARDS).map(|shard| (ShardId(shard), at(100))).collect();
        ledger.append_blocking(&[Entry::Epoch(Epoch { number: 1, config: "known".into(), from })]).unwrap();
        let held = (0..SHARDS).map(|_| 100..160).collect();
        Self { folder, held, ledger, open: Vec::new(), next_seal: 0 }
    }

    pub fn append(&self, entries: &[Entry]) {
        self.ledger.append_blocking(entries).unwrap();
    }

    pub fn move_cursor(&self, to: u64) {
        let positions = (0..SHARDS).map(|shard| (ShardId(shard), at(to))).collect();
        self.append(&[Entry::Cursor(Cursor { positions })]);
    }

    /// A file with the records of a partition among `numbers` of both shards.
    pub fn seal(&mut self, partition: u8, numbers: std::ops::Range<u64>) -> Seal {
        let number = self.next_seal;
        self.next_seal += 1;
        let range = |shard| {
            let mine: Vec<u64> =
                numbers.clone().filter(|&number| partition_of(shard, number) == partition).collect();
            let (first, last) = (at(*mine.first()?), at(*mine.last()?));
            Some(SealedRange { shard: ShardId(shard), first, last, records: mine.len() as u64 })
        };
        let ranges: Vec<SealedRange> = (0..SHARDS).filter_map(range).collect();
        let ending = match partition {
            b'a' => "json",
            b'q' => "parquet",
            _ => "json.gz",
        };
        Seal {
            number,
            epoch: 1,
            partition: vec![partition],
            folder: String::new(),
            records: ranges.iter().map(|range| range.records).sum(),
            ranges,
            key: format!("{}-{number}.{ending}", partition as char),
            guard: None,
            dead: (partition == b'd').then(|| "schema".to_owned()),
            passed: false,
            reason: "age".into(),
            oldest: UnixMicros(0),
        }
    }

    /// The lines of a file, in order.
    pub fn lines(&self, seal: &Seal) -> Vec<String> {
        let mut lines = Vec::new();
        for range in &seal.ranges {
            for number in range.first.0..=range.last.0 {
                if partition_of(range.shard.0, number) == seal.partition[0] {
                    let record = record(range.shard.0, number);
                    lines.push(match &seal.dead {
                        Some(_) => dead_letter(range.shard, number, &record),
                        None => record,
                    });
                }
            }
        }
        lines
    }

    /// Stores a file and tells the ledger.
    pub async fn store(&self, seal: &Seal) {
        self.store_lines(seal, &self.lines(seal)).await;
    }

    /// Stores a file with other lines than it must have.
    pub async fn store_lines(&self, seal: &Seal, lines: &[String]) {
        let mut encoder = encoder(&seal.key);
        lines.iter().for_each(|line| {
            encoder.push(Row::of_payload(line)).unwrap();
        });
        let chunks = encoder.finish(&[]).unwrap();
        let object = Object { key: &seal.key, chunks: &chunks, identity: "test" };
        let stored = sink(self.folder.path()).store(&object, &NoNotes).await.unwrap();
        self.append(&[Entry::Commit(Commit { number: seal.number, etag: stored.etag, bytes: stored.bytes })]);
    }

    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("objects").join(key)
    }

    pub async fn verify(&self, quick: bool) -> DeliveryReport {
        let ledger = self.folder.path().join("ledger");
        let evidence = Evidence {
            disk: &RealDisk,
            ledger: &ledger,
            log: Some(self),
            epochs: &mut Sorter(self.folder.path().to_path_buf()),
            quick,
            progress: &Silent,
        };
        verify("s", "d", evidence).await
    }
}

fn dead_letter(shard: ShardId, number: u64, raw: &str) -> String {
    let mut line = String::new();
    DeadLetter {
        reason: "schema",
        message: "no",
        attempts: 1,
        first_failed_at: UnixMicros(0),
        failed_at: UnixMicros(0),
        arrival_time: UnixMicros(0),
        stream: "s",
        delivery: "d",
        shard,
        sequence_number: at(number),
        partition_key: "",
        raw: raw.as_bytes(),
    }
    .write_to(Envelope::default(), &mut line);
    line
}

fn encoder(key: &str) -> Box<dyn Encoder> {
    encode::open(&format(key))
}

fn format(key: &str) -> Format {
    match key.split_once('.').unwrap().1 {
        "parquet" => {
            let column = |name: &str, type_text: &str| ColumnDeclaration::new(name, type_text, false);
            let columns = Columns::declared(&[column("p", "string"), column("n", "int64")]).unwrap();
            Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, Arc::new(columns)))
        }
        "json" => JsonCompression::None.into(),
        _ => JsonCompression::Gzip { level: 1 }.into(),
    }
}
