use super::*;
use crate::record::{Batch, SequenceNumber};
use crate::runtime::budget::Budget;
use crate::stream::CapturePlan;
use crate::stream::log::{Payer, Read, ReadLimit, StoredRead};
use crate::stream::wal::frame::Entry;
use crate::stream::wal::index::IndexedSegment;
use crate::stream::wal::samples;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

const FOLDER: &str = "log";
/// The shard that is read; others stand between its frames.
const SHARD: u32 = 1;
/// Number of its first record.
const FIRST: u64 = 10;

/// A closed segment whose batches have one record each; the first of each commit is that of [`SHARD`].
struct Bench {
    disk: SimulatedDisk,
    segment: Arc<StoredSegment>,
    records: u64,
    /// Where reads begin.
    from: u64,
}

impl Bench {
    /// With so many commits of `payloads`, the first for [`SHARD`] and the others for shards of their own.
    fn new(commits: u64, payloads: &[&str]) -> Self {
        let disk = SimulatedDisk::new(1);
        disk.create_folder(Path::new(FOLDER)).unwrap();
        let mut bytes = Vec::new();
        for number in 0..commits {
            let batches: Vec<Batch> =
                payloads.iter().map(|payload| samples::plain(&[payload], number as i64)).collect();
            let entry = |(shard, batch)| samples::entry(SHARD + shard, FIRST + number, batch);
            let entries: Vec<Entry<'_>> = (0..).zip(&batches).map(entry).collect();
            bytes.extend(samples::commit(samples::FIRST_COMMIT + number, &entries));
        }
        let room = 4_096 + (bytes.len() as u64).next_multiple_of(4_096);
        let written = samples::segment(&disk, Path::new(FOLDER), room.max(8_192));
        written.file.write_all_at(&bytes, 4_096).unwrap();
        let end = 4_096 + bytes.len() as u64;
        written.file.set_len(end).unwrap();
        let mut index = IndexBuilder::new();
        let mut visitor = |commit: &ScannedCommit<'_>| {
            commit.frames.iter().for_each(|frame| index.frame(&frame.header, frame.offset).unwrap());
        };
        scan(&written, Start::of(&written), Mode::Stop, &mut visitor).unwrap();
        let number = written.header.number;
        let indexed = IndexedSegment { number, salt: samples::SALT, valid_end: end, next_commit: commits };
        index.write(&disk, &FileName::index(Path::new(FOLDER), number), indexed).unwrap();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let segment = Arc::new(StoredSegment::written(shared, Path::new(FOLDER), number, &Arc::default()));
        segment.hold();
        Self { disk, segment, records: commits, from: FIRST }
    }

    fn load(&self, limit: ReadLimit, payer: &Payer) -> Result<Read, ReadError> {
        let plan: CapturePlan = samples::no_captures();
        let range = StoredRange {
            segment: Arc::clone(&self.segment),
            shard: ShardNumber(SHARD),
            from: SequenceNumber(self.from),
            end: SequenceNumber(FIRST + self.records),
            limit,
            skipped: 0,
        };
        Box::new(range).load(payer, &plan)
    }

    fn load_all(&self) -> Result<Read, ReadError> {
        let payer = Payer { budget: Budget::new(1 << 30), overdraws: false };
        self.load(ReadLimit::bytes(u64::MAX), &payer)
    }

    fn reads_everything(&self) {
        let read = self.load_all().unwrap();
        assert_eq!(
            (read.slices.len() as u64, read.next.0, read.skipped),
            (self.records, FIRST + self.records, 0)
        );
    }

    fn opened(&self) -> u64 {
        self.disk.count(Operation::Open)
    }
}

#[test]
fn records_are_read_although_the_index_is_gone_and_the_segment_is_scanned_once() {
    let bench = Bench::new(300, &["one", "two"]);
    bench.disk.remove(bench.segment.index_path()).unwrap();
    bench.reads_everything();
    let opened = bench.opened();
    bench.reads_everything();
    // Nothing but the segment for its records.
    assert_eq!(bench.opened(), opened + 1);
}

#[test]
fn records_are_read_although_the_index_is_damaged_anywhere() {
    let whole = Bench::new(200, &["one"]);
    let bytes = whole.disk.content(whole.segment.index_path()).unwrap().len() as u64;
    for offset in (0..bytes).step_by(89) {
        let bench = Bench::new(200, &["one"]);
        bench.disk.flip(bench.segment.index_path(), offset, 4).unwrap();
        bench.reads_everything();
    }
}

#[test]
fn records_are_read_although_an_index_that_is_open_is_cut() {
    let bench = Bench::new(300, &["one"]);
    bench.reads_everything();
    bench.disk.open(bench.segment.index_path()).unwrap().set_len(200).unwrap();
    bench.reads_everything();
}

#[test]
fn a_segment_that_is_gone_is_an_error_while_a_shard_needs_it() {
    for with_index in [true, false] {
        let bench = Bench::new(3, &["one"]);
        bench.disk.remove(bench.segment.path()).unwrap();
        if !with_index {
            bench.disk.remove(bench.segment.index_path()).unwrap();
        }
        let error = bench.load_all().unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{error}");
        // Once retention has let go of it, its records are skipped.
        bench.segment.release();
        let read = bench.load_all().unwrap();
        assert_eq!((read.slices.len(), read.next.0, read.skipped), (0, FIRST + 3, 3));
    }
}

#[test]
fn a_segment_that_is_not_whole_and_has_no_index_is_an_error() {
    for cut in [1, 60] {
        let bench = Bench::new(30, &["one"]);
        bench.disk.remove(bench.segment.index_path()).unwrap();
        let end = bench.disk.content(bench.segment.path()).unwrap().len() as u64;
        bench.disk.flip(bench.segment.path(), end - cut, 1).unwrap();
        let error = bench.load_all().unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    }
}

#[test]
fn an_index_that_does_not_have_the_records_is_an_error_and_no_end() {
    let mut bench = Bench::new(30, &["one"]);
    bench.segment = {
        let folder = Path::new(FOLDER);
        let number = bench.segment.number();
        Arc::new(StoredSegment::growing(Arc::new(bench.disk.clone()), folder, number, &Arc::default()))
    };
    let error = bench.load_all().unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
}

#[test]
fn a_disk_that_fails_is_an_error_and_reading_goes_on_when_it_works_again() {
    let bench = Bench::new(30, &["one"]);
    for operation in [Operation::Open, Operation::Read] {
        bench.disk.inject(Fault::new(operation, Failure::Io));
        let error = bench.load_all().unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{error}");
        bench.disk.heal();
        bench.reads_everything();
    }
}

#[test]
fn an_index_is_opened_once_for_many_reads_and_closed_with_its_segment() {
    let bench = Bench::new(30, &["one"]);
    bench.reads_everything();
    let (opened, readers) = (bench.opened(), Arc::clone(&bench.segment.readers));
    for _ in 0..10 {
        bench.reads_everything();
    }
    assert_eq!(bench.opened(), opened + 10);
    assert!(readers.get(bench.segment.number()).is_some());
    bench.segment.release();
    assert!(readers.get(bench.segment.number()).is_none());
    // Whoever still has a place in it reads on, but leaves nothing open.
    bench.reads_everything();
    assert!(readers.get(bench.segment.number()).is_none());
}

/// The frames of [`SHARD`].
fn entries(bench: &Bench) -> Vec<IndexEntry> {
    let all = |places: &dyn Places| {
        let mut entries = Vec::new();
        places.each_from(ShardNumber(SHARD), SequenceNumber(0), &mut |entry| {
            entries.push(entry);
            true
        })?;
        Ok(entries)
    };
    bench.segment.ask(all).unwrap()
}

/// Bytes of the frames of [`SHARD`], with the spans of their records.
fn frames_and_spans(bench: &Bench) -> u64 {
    entries(bench).iter().map(|entry| u64::from(entry.bytes) + 24).sum()
}

#[test]
fn what_is_in_memory_is_paid_for_until_the_last_batch_of_it_is_gone() {
    // Frames of others that are a little smaller lie between.
    let bench = Bench::new(100, &[&"x".repeat(300), "one"]);
    let payer = Payer { budget: Budget::new(1 << 20), overdraws: false };
    let mut read = bench.load(ReadLimit::bytes(u64::MAX), &payer).unwrap();
    let segment = bench.disk.content(bench.segment.path()).unwrap().len() as u64;
    let paid = payer.budget.used();
    assert!(paid > frames_and_spans(&bench) && paid < segment + 100 * 24, "{paid} of {segment}");
    // One batch holds all of it.
    read.slices.drain(1..);
    assert_eq!(payer.budget.used(), paid);
    drop(read);
    assert_eq!(payer.budget.used(), 0);
}

#[test]
fn frames_that_are_few_among_others_are_kept_alone() {
    let other = "x".repeat(2_000);
    let bench = Bench::new(100, &["one", &other]);
    let payer = Payer { budget: Budget::new(1 << 20), overdraws: false };
    let read = bench.load(ReadLimit::bytes(u64::MAX), &payer).unwrap();
    assert_eq!(payer.budget.used(), frames_and_spans(&bench));
    for (number, slice) in (0_u64..).zip(&read.slices) {
        let [record] = &*slice.batch.records else { panic!("one record") };
        let (source, first) = (&slice.batch.source, slice.first.0);
        assert_eq!(
            (source.bytes(record.payload), source.arrival.0 as u64, first),
            (&b"one"[..], number, FIRST + number)
        );
    }
    assert_eq!(read.slices.len(), 100);
}

#[test]
fn a_payer_that_is_short_gets_what_it_can_pay_for() {
    let payload = "x".repeat(200 << 10);
    let bench = Bench::new(20, &[&payload]);
    let payer = Payer { budget: Budget::new(3 << 20), overdraws: false };
    let read = bench.load(ReadLimit::bytes(u64::MAX), &payer).unwrap();
    // Runs of five: a megabyte, less than which is left of the third.
    assert_eq!((read.slices.len(), read.next.0), (15, FIRST + 15));
    let all = payer.budget.try_take((3 << 20) - payer.budget.used()).unwrap();
    let error = bench.load(ReadLimit::bytes(1), &payer).unwrap_err();
    assert!(matches!(error, ReadError::NoMemory { .. }), "{error}");
    drop((all, read));
    assert_eq!(payer.budget.used(), 0);
}

#[test]
fn damage_ends_a_read_before_it_and_fails_the_next_one() {
    let payload = "x".repeat(200 << 10);
    let mut bench = Bench::new(20, &[&payload]);
    bench.disk.flip(bench.segment.path(), u64::from(entries(&bench)[12].offset) + 100, 1).unwrap();
    let read = bench.load_all().unwrap();
    assert_eq!(read.next.0, FIRST + 12);
    // Nothing but what is damaged is left.
    bench.from = read.next.0;
    let error = bench.load_all().unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
}
