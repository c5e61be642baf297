//! Named cursors on a disk that fails, and workers that wait for shards and for records.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;

use super::cursor::{NamedCursor, Place};
use super::kept::{KeptOf, KeptText};
use super::leases::Leases;
use super::page;
use super::reader::Asked;
use crate::edge::Edge;
use crate::edge::problem::Problem;
use crate::node::DocumentFolder;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::runtime::disk::{Disk, DiskFile};
use crate::stream::Stream;
use crate::tap::cursor::Cursor;
use crate::tap::found::Found;
use crate::tap::page::tests::{append, batch, edge};
use crate::telemetry::metrics::CursorMetrics;
use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

const LEASE: Duration = Duration::from_secs(30);

fn disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(3);
    disk.create_folder(Path::new("/data")).unwrap();
    disk
}

fn files(disk: &SimulatedDisk) -> DocumentFolder {
    DocumentFolder::of_cursors(Arc::new(disk.clone()), Path::new("/data"), "s")
}

/// A cursor of the edge's stream, from its beginning.
fn cursor(edge: &Edge, disk: &SimulatedDisk) -> (Arc<NamedCursor>, Arc<Stream>) {
    cursor_in(edge, files(disk))
}

fn cursor_in(edge: &Edge, files: DocumentFolder) -> (Arc<NamedCursor>, Arc<Stream>) {
    let stream = Arc::clone(&edge.intake("s").unwrap().stream);
    let layout = stream.layout();
    let leases = Leases::new(LEASE, layout.shards().iter().map(|shard| &shard.facts), |_| None);
    let place = Place { files, stream: KeptOf::Number(7) };
    let cursor = NamedCursor::new("c", &stream, (leases, layout), Some(place), CursorMetrics::noop());
    (Arc::new(cursor), stream)
}

fn put(stream: &Stream, shard: u32, number: u64) {
    append(stream, vec![(ShardId(shard), batch(&[(number.to_string().as_bytes(), b"", false)]))]);
}

async fn poll(edge: &Edge, cursor: &Arc<NamedCursor>, worker: &str, wait: u64) -> Result<Found, Problem> {
    let asked =
        Asked { cursor: Arc::clone(cursor), worker: worker.into(), after: Cursor::default(), filter: None };
    let intake = edge.intake("s").unwrap();
    page::find(edge, &intake, asked, (100, Duration::from_secs(wait))).await
}

fn kept(disk: &SimulatedDisk) -> Option<KeptText> {
    files(disk).read_all::<KeptText>().unwrap().pop().map(|(_, text)| text)
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_kept_moves_nothing_and_one_that_is_survives_the_power() {
    let (edge, disk) = (edge(2, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    put(&stream, 0, 1);
    put(&stream, 1, 2);
    let worker: Arc<str> = "w1".into();
    let page = poll(&edge, &cursor, "w1", 0).await.unwrap();
    assert_eq!(page.records, 2);
    let begin = cursor.view().unwrap().done();
    for operation in
        [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncFolder]
    {
        disk.inject(Fault::new(operation, Failure::Io));
        let failed = cursor.commit(&worker, page.next.clone()).await;
        assert!(matches!(failed, Err(Problem::CursorNotKept(_))), "{operation:?}: {failed:?}");
        assert_eq!(cursor.view().unwrap().done(), begin, "{operation:?}");
    }
    disk.inject(Fault::new(Operation::Write, Failure::Full));
    let reset = cursor.reset(page.next.clone(), true).await;
    assert!(matches!(reset, Err(Problem::CursorNotKept(_))), "{reset:?}");
    assert_eq!(cursor.view().unwrap().done(), begin);
    disk.heal();
    assert_eq!(cursor.commit(&worker, page.next.clone()).await.unwrap(), page.next);
    let disk = disk.crash();
    let kept = kept(&disk).unwrap();
    assert_eq!((kept.cursor.as_str(), kept.stream.clone()), ("c", KeptOf::Number(7)));
    let kept = kept.read().unwrap();
    assert_eq!((&kept.next, kept.lease), (&page.next, LEASE));
    assert_eq!(kept.held[&worker], [ShardId(0), ShardId(1)]);
}

#[tokio::test]
async fn who_has_a_shard_is_on_the_disk_before_its_records_are_sent() {
    let (edge, disk) = (edge(1, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    put(&stream, 0, 1);
    disk.inject(Fault::new(Operation::Rename, Failure::Io));
    assert!(matches!(poll(&edge, &cursor, "w1", 0).await, Err(Problem::CursorNotKept(_))));
    assert!(kept(&disk).is_none());
    assert_eq!(poll(&edge, &cursor, "w1", 0).await.unwrap().records, 1);
    assert_eq!(kept(&disk).unwrap().read().unwrap().held.len(), 1);
    cursor.leave("w1").await.unwrap();
    assert_eq!(kept(&disk).unwrap().read().unwrap().held.len(), 0);
    cursor.remove(false).unwrap();
    assert!(kept(&disk).is_none());
    assert!(matches!(poll(&edge, &cursor, "w1", 0).await, Err(Problem::UnknownCursor(_))));
}

/// A disk that tells when it is to give a file its name, and waits until it may.
#[derive(Debug)]
struct HeldDisk {
    disk: SimulatedDisk,
    arrived: Sender<()>,
    released: Mutex<Receiver<()>>,
}

impl Disk for HeldDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = self.arrived.send(());
        // Or until the other side is gone.
        let _ = self.released.lock().unwrap().recv();
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
}

#[tokio::test]
async fn while_who_has_a_shard_is_being_written_nobody_is_sent_its_records() {
    let (edge, disk) = (edge(1, 16 << 20), disk());
    let ((arrived, arrival), (release, released)) = (mpsc::channel(), mpsc::channel());
    let held = HeldDisk { disk: disk.clone(), arrived, released: Mutex::new(released) };
    let files = DocumentFolder::of_cursors(Arc::new(held), Path::new("/data"), "s");
    let (cursor, stream) = cursor_in(&edge, files);
    put(&stream, 0, 1);
    let (mut first, mut second) =
        (Box::pin(poll(&edge, &cursor, "w1", 0)), Box::pin(poll(&edge, &cursor, "w1", 0)));
    assert!((&mut first).now_or_never().is_none());
    arrival.recv().unwrap();
    assert!((&mut second).now_or_never().is_none(), "it is not on the disk yet");
    assert!(kept(&disk).is_none());
    drop(release);
    assert_eq!((first.await.unwrap().records, second.await.unwrap().records), (1, 1));
    assert_eq!(kept(&disk).unwrap().read().unwrap().held.len(), 1);
}

#[tokio::test]
async fn a_log_that_has_lost_its_end_takes_the_checkpoint_back_to_it() {
    let (edge, disk) = (edge(1, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    put(&stream, 0, 1);
    let page = poll(&edge, &cursor, "w1", 0).await.unwrap();
    cursor.commit(&"w1".into(), page.next.clone()).await.unwrap();
    let kept = kept(&disk).unwrap().read().unwrap();
    let facts: Vec<_> = stream.layout().shards().iter().map(|shard| shard.facts).collect();
    let end = SequenceNumber(page.next.positions[0].1.0 - 1);
    let leases = Leases::restore(&kept, &facts, |_| Some(end), clock::monotonic());
    assert_eq!(leases.done().positions, [(ShardId(0), end)]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_gets_the_shards_of_a_dead_one_when_its_lease_is_over() {
    let (edge, disk) = (edge(2, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    put(&stream, 0, 1);
    put(&stream, 1, 2);
    assert_eq!(poll(&edge, &cursor, "w1", 0).await.unwrap().records, 2);
    let begun = clock::monotonic();
    let found = poll(&edge, &cursor, "w2", 300).await.unwrap();
    let waited = clock::monotonic() - begun;
    assert!((LEASE..2 * LEASE).contains(&waited), "{waited:?}");
    assert_eq!((found.records, found.shards.unwrap().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_longer_than_its_lease_keeps_its_shards() {
    let (edge, disk) = (edge(1, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    poll(&edge, &cursor, "w1", 0).await.unwrap();
    let appending = async {
        tokio::time::sleep(4 * LEASE).await;
        put(&stream, 0, 1);
    };
    let (waited, other, ()) =
        tokio::join!(poll(&edge, &cursor, "w1", 300), poll(&edge, &cursor, "w2", 130), appending);
    assert_eq!((waited.unwrap().records, other.unwrap().records), (1, 0));
}

/// How often a task was woken.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_append_wakes_the_worker_that_has_the_shard_and_no_other_one() {
    let (edge, disk) = (edge(2, 16 << 20), disk());
    let (cursor, stream) = cursor(&edge, &disk);
    for worker in ["w1", "w2", "w1", "w2"] {
        poll(&edge, &cursor, worker, 0).await.unwrap();
    }
    let shard_of = |worker: &str| {
        let view = cursor.view().unwrap();
        let mut held =
            view.shards.iter().filter(|shard| matches!(&shard.held, Some((name, ..)) if **name == *worker));
        held.next().unwrap().shard.0
    };
    let (mine, others) = (shard_of("w1"), shard_of("w2"));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut idle = Box::pin(poll(&edge, &cursor, "w2", 300));
    assert!(idle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    for number in 0..20 {
        let mut waiting = Box::pin(poll(&edge, &cursor, "w1", 300));
        if number == 0 {
            assert!((&mut waiting).now_or_never().is_none());
        }
        put(&stream, mine, number);
        let found = waiting.await.unwrap();
        assert_eq!(found.records, 1);
        cursor.commit(&"w1".into(), found.next).await.unwrap();
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    put(&stream, others, 20);
    assert_eq!(idle.await.unwrap().records, 1);
}
