//! A delivery over a log that outlives its process, a disk that fails, and whoever looks at the lake afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::lake;
use crate::config::checked::{
    self, BufferHints, DeadLetters, Delimiter, Delivery, Format, JsonCompression, Late,
    ObjectSink as SinkConfig, ParquetCompression, ParquetFormat, Placement, RawFormat, Selection,
};
use crate::config::limits::LEDGER_SETTLED_MAX;
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::ledger::shared::SharedPlace;
use crate::delivery::ledger::{Ledger, State};
use crate::delivery::prefix::{PrefixTemplate, Terms, Zone};
use crate::delivery::sink::ObjectSink;
use crate::delivery::worker::Worker;
use crate::delivery::{
    Begin, Ended, Fields, LedgerParts, Memory, OpenError, Parts, SharedLedger, Slots, Status, StatusReport,
    Stop,
};
use crate::json::Pointer;
use crate::node::SchemaFile;
use crate::record::{Batch, Content, RecordSpans, SequenceNumber, ShardId, Source, Span};
use crate::runtime::budget::{Budget, Share};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::progress::Progress;
use crate::schema::columns::{ColumnDeclaration, Columns};
use crate::schema::inference::Rules;
use crate::schema::registry::Registry as Schemas;
use crate::stream::reshard::{Change, Plan};
use crate::stream::wal::JournalClass;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::journals::{Journals, Setting};
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Backing, Captures, DurableParts, HashKey, HashRange, Retention, ShardFacts, Stream};
use crate::telemetry::metrics::{LogMetrics, Registry};
use crate::testkit::disk::SimulatedDisk;

pub const SHARDS: u32 = 3;

/// So many shards, open and closed, a stream of these tests has at most.
const SHARDS_MAX: usize = 12;
pub const CONFIGS: usize = 10;
/// Small, so that there are several.
const SEGMENT_BYTES: u64 = 64 << 10;
/// 2026-01-01 00:00:00 UTC.
const ARRIVAL: i64 = 1_767_225_600_000_000;

/// What a record is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its id is a number.
    Number,
    /// Its id is text.
    Text,
    /// It has no field for the prefix.
    Homeless,
    /// Its time is none.
    Timeless,
    /// The edge has found it invalid.
    Refused,
    /// It has a field `xN`, a number.
    Extra(u8),
}

/// A record to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub shard: u32,
    pub partition: u8,
    pub kind: Kind,
}

/// The process that runs at the moment.
pub struct Process {
    worker: Pin<Box<dyn Future<Output = Ended>>>,
    status: Arc<Status>,
    phases: Phases,
    stop: Stop,
    budget: Arc<Budget>,
}

/// See the module.
pub struct World {
    pub stream: Arc<Stream>,
    /// What the ledger and the lake are on.
    pub disk: SimulatedDisk,
    /// What the log is on.
    pub log_disk: SimulatedDisk,
    /// Where each record that was sent stands, by its own number.
    pub sent: Vec<(ShardId, SequenceNumber)>,
    /// What each of them was like, and its arrival.
    specs: Vec<(Spec, i64)>,
    /// What each of them is like.
    pub kinds: Vec<Kind>,
    /// Bytes that every record has besides its fields.
    pub pad: usize,
    /// What the ledger may remember beyond the cursor.
    pub settled_max: usize,
    /// Whether columns are learned, and how.
    pub learns: Option<Rules>,
    /// Whether the delivery has one.
    pub keeps_ledger: bool,
    /// Where it begins if that does not say so.
    pub begin: Begin,
    registry: Registry,
    captures: Captures,
    process: Option<Process>,
    /// Where the ledger is if others can reach it, and what this node is called.
    pub shared: Option<(SharedPlace, String)>,
    /// How the last process has ended that has ended by itself.
    pub ended: Option<Ended>,
}

/// The delivery in its variants. They differ in whatever makes an epoch.
pub fn config(variant: usize) -> Delivery {
    let columns = |id: &str| {
        let column = |name: &str, type_text: &str| ColumnDeclaration::new(name, type_text, true);
        let columns = [column("n", "int64"), column("id", id), column("p", "string")];
        let columns = Arc::new(Columns::declared(&columns).unwrap());
        Format::Parquet(ParquetFormat::new(ParquetCompression::Snappy, columns))
    };
    let plain = Format::from(JsonCompression::None);
    let gzip = Format::from(JsonCompression::Gzip { level: 1 });
    let raw = RawFormat { compression: JsonCompression::Gzip { level: 1 }, delimiter: Delimiter::None };
    let raw = Format::Raw(raw);
    let (format, prefix, error_prefix, folder) = match variant {
        0 => (plain, "p={/p}/", "errors/{reason}/", "lake"),
        1 => (gzip, "v1/{/p}/", "errors/{reason}/", "lake"),
        2 => (columns("int64"), "q={/p}/", "errors/{reason}/", "lake"),
        3 => (plain, "dt={event_time:%Y-%m-%d}/", "errors/{reason}/", "pond"),
        4 => (columns("string"), "q={/p}/", "dead/{shard}/{reason}/", "lake"),
        5 => (gzip, "raw/", "raw/", "lake"),
        6 => (plain, "failed/{shard}/", "failed/", "pond"),
        // By a field that no other variant wants.
        8 => (gzip, "v8/{/id|hash(3)|default(none)}/", "errors/{reason}/", "lake"),
        9 => (raw, "v9/{/p}/", "errors/{reason}/", "lake"),
        _ => (plain, "v5/dt={event_time:%Y-%m-%d}/{/p|upper|default(none)}/", "errors/{reason}/", "lake"),
    };
    let selection = match variant {
        5 => Selection::All,
        6 => Selection::FailedIn(Arc::new(config(2))),
        _ => Selection::Fitting,
    };
    let placement = if variant == 7 { placement() } else { Placement::default() };
    Delivery {
        name: "d".into(),
        sink: SinkConfig {
            url: Url::from_directory_path(Path::new("/").join(folder)).unwrap(),
            options: BTreeMap::new(),
            multipart_bytes: 1 << 20,
        },
        format,
        extension: (variant == 9).then(|| ".bin.gz".into()),
        buffer: BufferHints { size_bytes: 700, interval: Duration::from_millis(200) },
        prefix: PrefixTemplate::parse(prefix, &placement.terms).unwrap(),
        error_prefix: PrefixTemplate::parse(error_prefix, &placement.terms).unwrap(),
        dead_letters: DeadLetters {
            buffer: BufferHints { size_bytes: 500, interval: Duration::from_millis(100) },
            envelope: if variant == 1 { Envelope::Firehose } else { Envelope::Forebay },
        },
        event_time: Some(Pointer::parse("/at").unwrap()),
        placement,
        selection,
        open_partitions_max: 3,
    }
}

/// What is before its arrival is late, and what is more than two days ahead is none.
fn placement() -> Placement {
    let terms = Terms { time_zone: Zone::parse("America/New_York").unwrap(), ..Terms::default() };
    let prefix = PrefixTemplate::parse("v5/late/{/p|hash(3)|default(none)}/", &terms).unwrap();
    let late = Some(Late { allowed: Duration::ZERO, prefix });
    Placement { terms, late, future_max: Some(Duration::from_secs(2 * 86_400)) }
}

/// The folder that variant 7 has for a record; `None` for the dead letters.
fn folder_by_time(spec: &Spec, arrival: i64) -> Option<String> {
    let text = if spec.kind == Kind::Homeless { None } else { Some((b'a' + spec.partition) as char) };
    let event_time = ARRIVAL + i64::from(spec.partition) * 86_400_000_000;
    if matches!(spec.kind, Kind::Refused | Kind::Timeless) || event_time - arrival > 2 * 86_400_000_000 {
        return None;
    }
    if event_time < arrival {
        // `printf a | md5sum` begins with 0cc175b9c0f1b6a8; only the first partition is ever late.
        return Some(format!(
            "v5/late/{}/",
            text.map_or("none".to_owned(), |_| (0x0cc1_75b9_c0f1_b6a8_u64 % 3).to_string())
        ));
    }
    // Midnight in UTC is the evening of the day before in New York.
    let day = ["2025-12-31", "2026-01-01", "2026-01-02"][usize::from(spec.partition)];
    let text = text.map_or("none".to_owned(), |text| text.to_uppercase().to_string());
    Some(format!("v5/dt={day}/{text}/"))
}

pub fn ledger_folder() -> PathBuf {
    PathBuf::from("/data/ledger/s/d")
}

impl World {
    /// With a log in memory, which is taken for one that survives everything.
    pub fn new(seed: u64) -> Self {
        let no_log = |_: &SimulatedDisk| Backing::Memory;
        Self::with_log(seed, checked::Durability::Memory, no_log)
    }

    /// With a log on a disk.
    pub fn durable(seed: u64) -> Self {
        Self::with_log(seed, checked::Durability::Fsync, |disk| {
            let setting = Setting {
                disk: Arc::new(disk.clone()),
                folder: "/log".into(),
                node: [7; 8],
                segment_bytes: SEGMENT_BYTES,
                writer: checked::LogWriter::Thread,
                accept_damage: false,
                replies_since: UnixMicros(0),
            };
            let metrics = |_| LogMetrics::none();
            let needed = [JournalClass::Fsync];
            let (journals, _) = Journals::open(&setting, &needed, &metrics, &Progress::default()).unwrap();
            let journal = Arc::clone(journals.get(JournalClass::Fsync).unwrap());
            let retention = Retention { age: Duration::from_secs(3_600), bytes: None };
            let shard = |number| {
                let origin = SequenceNumber(1_000 * u64::from(number));
                Arc::new(DurableLog::new(ShardNumber(number), origin, Vec::new(), retention, 1))
            };
            let facts = ShardFacts::even(SHARDS, 0, SequenceNumber(0));
            let shards = facts.zip((1..=SHARDS).map(shard)).collect();
            let parts = DurableParts { journal, number: 1, shards, next_id: ShardId(SHARDS) };
            Backing::Durable(parts, Vec::new())
        })
    }

    fn with_log(
        seed: u64,
        durability: checked::Durability,
        backing: impl FnOnce(&SimulatedDisk) -> Backing,
    ) -> Self {
        let registry = Registry::new().unwrap();
        let config = checked::Stream {
            name: "s".into(),
            shards: SHARDS,
            durability,
            retention: Duration::from_secs(3_600),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let mut captures = Captures::default();
        for field in ["/p", "/at"] {
            captures.slot(&Pointer::parse(field).unwrap());
        }
        let (plan, metrics) = (captures.plan().unwrap(), registry.stream("s"));
        let log_disk = SimulatedDisk::new(seed);
        let stream = Arc::new(Stream::new(&config, backing(&log_disk), 1, plan, metrics));
        let disk = SimulatedDisk::new(seed);
        for folder in ["/data", "/lake", "/pond"] {
            disk.create_folder(Path::new(folder)).unwrap();
        }
        let (sent, specs, kinds, settled_max) = (Vec::new(), Vec::new(), Vec::new(), LEDGER_SETTLED_MAX);
        Self {
            stream,
            disk,
            log_disk,
            sent,
            specs,
            kinds,
            pad: 60,
            settled_max,
            learns: None,
            keeps_ledger: true,
            begin: Begin::Oldest,
            registry,
            captures,
            process: None,
            shared: None,
            ended: None,
        }
    }

    /// One request.
    pub async fn send(&mut self, specs: &[Spec]) {
        let plan = self.captures.plan().unwrap();
        let (mut body, side) = (Vec::new(), b"schema broken".to_vec());
        let mut spans: BTreeMap<ShardId, (Vec<RecordSpans>, Vec<u64>)> = BTreeMap::new();
        let open: Vec<ShardId> = self.stream.layout().open().map(|shard| shard.facts.id).collect();
        for spec in specs {
            let n = self.sent.len() as u64;
            let shard = open[spec.shard as usize % open.len()];
            self.sent.push((shard, SequenceNumber(0)));
            self.kinds.push(spec.kind);
            let start = body.len();
            body.extend_from_slice(payload(n, spec, self.pad).as_bytes());
            let (records, numbers) = spans.entry(shard).or_default();
            let payload = Span::new(start, body.len());
            records.push(RecordSpans { payload, key: Span::ABSENT, refusal: Span::ABSENT });
            numbers.push(n);
        }
        let refused = |n: u64, first: usize| specs[n as usize - first].kind == Kind::Refused;
        let first = self.sent.len() - specs.len();
        let refusal = Span::new(body.len(), body.len() + side.len());
        let permit = Budget::new(1 << 20).take_anyway(0);
        let arrival = UnixMicros(ARRIVAL + first as i64);
        self.specs.extend(specs.iter().map(|spec| (*spec, arrival.0)));
        let (bytes, side, content) = (Bytes::from(body.clone()), Bytes::from(side), Content::Json);
        let source = Arc::new(Source { body: bytes, content, side, arrival, permit });
        let mut batches = Vec::new();
        let mut numbers_of = BTreeMap::new();
        for (shard, (mut records, numbers)) in spans {
            let mut captures = Vec::new();
            plan.capture(&body, &records, &mut captures);
            for (record, &n) in records.iter_mut().zip(&numbers) {
                if refused(n, first) {
                    record.refusal = refusal;
                }
            }
            let batch = Batch {
                source: Arc::clone(&source),
                records: records.into(),
                captures: captures.into(),
                aggregates: Box::default(),
            };
            batches.push((shard, batch));
            numbers_of.insert(shard, numbers);
        }
        let appended = self.stream.append(batches, None).unwrap().await.unwrap().appended;
        for (shard, appended) in appended {
            for (index, &n) in numbers_of[&shard].iter().enumerate() {
                self.sent[n as usize] = (shard, SequenceNumber(appended.first.0 + index as u64));
            }
        }
    }

    /// Splits an open shard, or merges it with the next one.
    pub async fn reshard(&mut self, shard: u32, splits: bool) {
        let layout = self.stream.layout();
        let open: Vec<ShardFacts> = layout.open().map(|shard| shard.facts).collect();
        let index = shard as usize % open.len();
        let HashRange { first, last } = open[index].hash_keys;
        let shard = open[index].id;
        let change = match open.get(index + 1).filter(|_| !splits) {
            Some(next) => Change::Merge { shard, adjacent: next.id },
            None => Change::Split { shard, at: HashKey(first + (last - first) / 2 + 1) },
        };
        if layout.shards().len() + 2 > SHARDS_MAX {
            return;
        }
        let resharding = self.stream.reshard(|layout| Plan::new(layout, &[change])).await.unwrap();
        let replacement = resharding.replacement(UnixMicros(ARRIVAL));
        let retention = Retention { age: Duration::from_secs(3_600), bytes: None };
        let log = |facts: &ShardFacts| {
            let number = ShardNumber(100 + facts.id.0);
            Arc::new(DurableLog::new(number, facts.first, Vec::new(), retention, 1))
        };
        let durable = replacement.children.iter().filter(|_| self.stream.is_on_disk()).map(log);
        resharding.install(&replacement, durable.collect());
    }

    /// The versions of the columns, as they are on the disk.
    pub fn schema(&self) -> Option<Schemas> {
        let rules = self.learns?;
        let file = SchemaFile::at(Arc::new(self.disk.clone()), Path::new("/data"), "s");
        Some(Schemas::new(rules, file.read().unwrap(), Some(Box::new(file))))
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn parts(&mut self, mut config: Delivery, memory_bytes: u64) -> Result<Parts, OpenError> {
        let schema = self.schema().map(Arc::new);
        if let Some(schema) = &schema {
            config.format = config.format.with_columns(Arc::clone(&schema.latest().columns));
        }
        let status = Arc::new(Status::new(Arc::clone(&self.stream), &config.name, &self.registry));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let slots = Slots::of(&config, &mut self.captures);
        self.stream.capture(self.captures.plan()?);
        Ok(Parts {
            stream: Arc::clone(&self.stream),
            reader: 0,
            slots,
            fields: Fields::of_stream(&self.captures),
            sink: ObjectSink::open_on(&config.sink, Arc::clone(&disk))?,
            status,
            memory: Memory::new(memory_bytes, 1),
            budget: Share::new(memory_bytes, 1).account(0),
            run: 0,
            node: "0123456789abcdef".into(),
            schema,
            begin: self.begin.clone(),
            ledger: self.keeps_ledger.then(|| self.ledger_parts(disk)),
            config,
        })
    }

    fn ledger_parts(&self, disk: Arc<dyn Disk>) -> LedgerParts {
        match &self.shared {
            Some((place, node)) => LedgerParts::Shared(SharedLedger::new(place.clone(), node, disk)),
            None => LedgerParts::Folder { disk, folder: ledger_folder() },
        }
    }

    /// Starts a process whose ledger others can reach.
    pub async fn open(&mut self, config: Delivery, memory_bytes: u64) -> Result<(), OpenError> {
        assert!(!self.is_running());
        let parts = self.parts(config, memory_bytes)?;
        let worker = Worker::open(&parts).await?;
        self.begin(&parts, worker);
        Ok(())
    }

    /// Takes the process that runs out, to go on with it later.
    pub fn detach(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Goes on with a process.
    pub fn attach(&mut self, process: Option<Process>) {
        assert!(!self.is_running());
        self.process = process;
    }

    /// Starts a process, unless one runs. It may fail where the disk does.
    pub fn start(&mut self, config: Delivery, memory_bytes: u64) -> Result<(), OpenError> {
        assert!(!self.is_running());
        let parts = self.parts(config, memory_bytes)?;
        let worker = Worker::new(&parts)?;
        self.begin(&parts, worker);
        Ok(())
    }

    fn begin(&mut self, parts: &Parts, mut worker: Worker) {
        let (status, phases) = (Arc::clone(&parts.status), Phases::new());
        let budget = Arc::clone(&parts.budget);
        if let Some(book) = &mut worker.book {
            book.settled_max = self.settled_max;
        }
        phases.advance(Phase::Serving);
        let stop = Stop::new();
        let worker = Box::pin(worker.run(phases.clone(), stop.clone()));
        self.process = Some(Process { worker, status, phases, stop, budget });
    }

    /// Lets the process run until it has been woken `polls` times, or some time has passed.
    pub async fn run(&mut self, polls: u64, time: Duration) {
        let Some(process) = &mut self.process else { return tokio::time::sleep(time).await };
        let limited = Limited { worker: process.worker.as_mut(), polls };
        let ended = tokio::select! {
            ended = limited => ended,
            () = tokio::time::sleep(time) => None,
        };
        if ended.is_some() {
            self.process = None;
            self.ended = ended;
        }
    }

    /// Ends the process as SIGKILL does, or with the power of the machine.
    pub fn kill(&mut self, power: bool) {
        self.process = None;
        self.disk = if power { self.disk.crash() } else { self.disk.kill() };
    }

    /// Drains the process for some time; then it is killed. Returns the last balance, and whether it had ended by
    /// itself.
    pub async fn drain(&mut self, time: Duration) -> (StatusReport, bool) {
        let process = self.process.as_ref().unwrap();
        process.phases.advance(Phase::Draining);
        let status = Arc::clone(&process.status);
        self.run(u64::MAX, time).await;
        let has_ended = !self.is_running();
        if !has_ended {
            self.kill(false);
        }
        (status.report(), has_ended)
    }

    /// Stops the delivery while the process goes on.
    pub async fn stop(&mut self) {
        self.stop_told(Stop::tell).await;
    }

    /// The same for one that nothing is to follow.
    pub async fn stop_for_good(&mut self) {
        self.stop_told(Stop::tell_for_good).await;
    }

    async fn stop_told(&mut self, tell: impl Fn(&Stop)) {
        let Some(process) = &mut self.process else { return };
        tell(&process.stop);
        let positions = process.worker.as_mut().await.into_positions();
        let status = Arc::clone(&process.status);
        self.process = None;
        if !self.keeps_ledger {
            self.begin = Begin::Behind(positions, status);
        }
    }

    /// The balance of the process that runs.
    pub fn report(&self) -> StatusReport {
        self.process.as_ref().unwrap().status.report()
    }

    /// Bytes that the process holds, as far as they are charged.
    pub fn held_bytes(&self) -> u64 {
        self.process.as_ref().unwrap().budget.used()
    }

    /// What the ledger says, if no process has it open.
    pub fn ledger(&self) -> State {
        assert!(!self.is_running());
        Ledger::open(Arc::new(self.disk.clone()), ledger_folder()).unwrap().1
    }

    /// Compares everything that was sent with everything that is in the lake.
    pub fn check_lake(&self) {
        let files = lake::files(&self.disk);
        let mut seen = BTreeSet::new();
        for file in &files {
            for &n in &file.records {
                assert!(seen.insert(n), "record {n} is in two files or twice in one: {}", file.name);
            }
        }
        // Only the backup of what fails passes records over, and none of those that its delivery cannot take.
        let missing: Vec<_> = (0..self.sent.len() as u64).filter(|n| !seen.contains(n)).collect();
        let fails = |kind| matches!(kind, Kind::Text | Kind::Homeless | Kind::Refused);
        assert!(!missing.iter().any(|&n| fails(self.kinds[n as usize])), "missing: {missing:?}");
        let passed = if missing.is_empty() { 0 } else { self.ledger().passed_records };
        assert_eq!((missing.len() as u64, seen.len() + missing.len()), (passed, self.sent.len()));
        for file in files.iter().filter(|file| file.folder.contains("/v5/")) {
            for &n in &file.records {
                let (spec, arrival) = &self.specs[n as usize];
                let folder = folder_by_time(spec, *arrival);
                assert!(
                    folder.is_some_and(|folder| format!("{}/", file.folder).ends_with(&folder)),
                    "{}: {n}",
                    file.folder
                );
            }
        }
        // In the order of their numbers, the files of a folder go on where the one before ended, and have nothing of a
        // shard behind a record of its children.
        let layout = self.stream.layout();
        let mut passed: BTreeSet<(&str, ShardId)> = BTreeSet::new();
        let mut last: BTreeMap<(&str, ShardId), SequenceNumber> = BTreeMap::new();
        for file in &files {
            for &n in &file.records {
                let (shard, number) = self.sent[n as usize];
                let mut parents = vec![shard];
                while let Some(facts) = parents.pop().and_then(|id| layout.get(id)).map(|shard| shard.facts) {
                    for parent in facts.parents() {
                        passed.insert((&file.folder, parent));
                        parents.push(parent);
                    }
                }
                assert!(!passed.contains(&(&*file.folder, shard)), "{}: {shard} comes late", file.name);
                let before = last.insert((&file.folder, shard), number);
                assert!(before.is_none_or(|before| before < number), "{}: {shard} goes back", file.name);
            }
        }
    }

    /// Checks that the ledger accounts for everything that was sent.
    pub fn check_ledger(&self) {
        self.check_state(&self.ledger());
    }

    /// The same for what it says.
    pub fn check_state(&self, state: &State) {
        assert!(state.open.is_empty(), "{:?}", state.open);
        assert!(state.begun.is_empty(), "{:?}", state.begun);
        let all = state.committed_records + state.dead_records + state.passed_records;
        assert_eq!(all, self.sent.len() as u64);
        for id in self.stream.shard_ids() {
            let next = self.stream.shard(id).unwrap().bounds().next;
            assert_eq!(state.cursor.get(&id), Some(&next), "{id}");
        }
        assert_eq!(state.settled_len(), 0);
    }
}

fn payload(n: u64, spec: &Spec, pad: usize) -> String {
    let p = (b'a' + spec.partition) as char;
    let extra =
        if let Kind::Extra(number) = spec.kind { format!(",\"x{number}\":{n}") } else { String::new() };
    let id = if spec.kind == Kind::Text { format!("\"id-{n}\"") } else { n.to_string() };
    let at = if spec.kind == Kind::Timeless {
        "?".to_owned()
    } else {
        format!("2026-01-{:02}T00:00:00Z", spec.partition + 1)
    };
    let p = if spec.kind == Kind::Homeless { String::new() } else { format!(r#","p":"{p}""#) };
    format!(r#"{{"n":{n},"id":{id},"at":"{at}"{p}{extra},"pad":"{}"}}"#, "x".repeat(pad))
}

/// A worker that is polled so many times at most.
struct Limited<'a> {
    worker: Pin<&'a mut (dyn Future<Output = Ended> + 'static)>,
    polls: u64,
}

impl Future for Limited<'_> {
    type Output = Option<Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Ended>> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        if let Poll::Ready(ended) = self.worker.as_mut().poll(context) {
            return Poll::Ready(Some(ended));
        }
        if self.polls == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}
