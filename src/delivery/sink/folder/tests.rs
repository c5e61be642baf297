use std::fs::File;

use super::super::{Beginning, Begun, GrowError, NoNotes};
use super::*;
use crate::config::checked;
use crate::delivery::sink::ObjectSink;
use crate::runtime::disk::RealDisk;
use url::Url;

const KEY: &str = "dt=1/h=2/a.parquet";

/// The real disk, which notes what is done, and from some step on can do nothing more: as if the process had been
/// killed there.
#[derive(Debug, Default)]
struct Watched {
    steps: Arc<Mutex<Steps>>,
}

#[derive(Debug, Default)]
struct Steps {
    done: Vec<String>,
    left: Option<usize>,
    error: Option<io::ErrorKind>,
}

impl Steps {
    fn step(&mut self, what: &str, path: &Path) -> io::Result<()> {
        if self.left == Some(0) {
            return Err(self.error.unwrap_or(io::ErrorKind::Other).into());
        }
        self.left = self.left.map(|left| left - 1);
        let name = path.file_name().unwrap().to_string_lossy();
        let is_temporary = name.starts_with('.') && name.ends_with(".tmp");
        self.done.push(format!("{what} {}", if is_temporary { "TEMPORARY" } else { &name }));
        Ok(())
    }
}

impl Watched {
    fn step(&self, what: &str, path: &Path) -> io::Result<()> {
        self.steps.lock().unwrap().step(what, path)
    }

    fn stop_after(&self, steps: usize, error: io::ErrorKind) {
        let mut state = self.steps.lock().unwrap();
        (state.left, state.error) = (Some(steps), Some(error));
    }

    fn go_on(&self) {
        self.steps.lock().unwrap().left = None;
    }

    fn take_done(&self) -> Vec<String> {
        std::mem::take(&mut self.steps.lock().unwrap().done)
    }
}

impl Disk for Watched {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.step("folder", folder)?;
        RealDisk.create_folder(folder)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(folder)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.step("create", path)?;
        let (file, steps) = (RealDisk.create(path)?, Arc::clone(&self.steps));
        Ok(Arc::new(WatchedFile { file, path: path.to_owned(), steps }))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", to)?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", path)?;
        RealDisk.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step("sync", folder)?;
        RealDisk.sync_folder(folder)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    steps: Arc<Mutex<Steps>>,
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.steps.lock().unwrap().step("write", &self.path)?;
        // Short, as a disk may do it.
        self.file.write_at(&bytes[..bytes.len().min(2)], offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.steps.lock().unwrap().step("sync", &self.path)?;
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn file(&self) -> Option<&File> {
        self.file.file()
    }
}

fn sink(root: &Path, disk: Arc<dyn Disk>) -> Result<ObjectSink, SinkError> {
    let url = Url::from_directory_path(root).unwrap();
    let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
    ObjectSink::open_on(&config, disk)
}

async fn store(sink: &ObjectSink, key: &str) -> Result<Stored, SinkError> {
    let chunks = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
    sink.store(&Object { key, chunks: &chunks, identity: "test" }, &NoNotes).await
}

/// Names of the files below `folder`, wherever.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in RealDisk.list(folder).unwrap() {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn a_file_gets_its_name_once_it_is_synced_and_then_the_name_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake");
    let disk = Arc::new(Watched::default());
    let sink = sink(&root, disk.clone()).unwrap();
    assert_eq!(disk.take_done(), ["folder lake"]);
    store(&sink, KEY).await.unwrap();
    let write = [
        "remove TEMPORARY",
        "create TEMPORARY",
        "write TEMPORARY",
        "write TEMPORARY",
        "write TEMPORARY",
        "sync TEMPORARY",
        "rename a.parquet",
        "sync h=2",
    ];
    let first = [&["folder h=2", "sync dt=1", "sync lake"], &write[..]].concat();
    assert_eq!(disk.take_done(), first, "the folders above are synced as well");
    store(&sink, KEY).await.unwrap();
    assert_eq!(disk.take_done(), [&["folder h=2"], &write[..]].concat(), "but once only");
    assert_eq!(std::fs::read(root.join(KEY)).unwrap(), b"abcde");
    assert_eq!(files(&root), ["a.parquet"]);
}

#[tokio::test]
async fn wherever_a_write_is_cut_off_a_name_shows_a_whole_file_and_the_next_process_leaves_nothing_over() {
    for steps in 0..12 {
        for there_before in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let disk = Arc::new(Watched::default());
            let killed = sink(folder.path(), disk.clone()).unwrap();
            if there_before {
                store(&killed, KEY).await.unwrap();
            }
            disk.stop_after(steps, io::ErrorKind::StorageFull);
            let result = store(&killed, KEY).await;
            let shown = std::fs::read(folder.path().join(KEY));
            match result {
                Ok(_) => assert!(shown.is_ok(), "{steps}"),
                Err(error) => assert_eq!(error.class, SinkErrorClass::Other, "{error}"),
            }
            if there_before || shown.is_ok() {
                assert_eq!(shown.unwrap(), b"abcde", "{steps}");
            }
            // What is left is not for readers.
            let left = files(folder.path()).into_iter().filter(|name| name != "a.parquet");
            assert!(left.clone().all(|name| name.starts_with('.') && name.ends_with(".tmp")), "{steps}");
            assert!(left.count() <= 1, "{steps}");
            let next = sink(folder.path(), Arc::new(RealDisk)).unwrap();
            assert_eq!(store(&next, KEY).await.unwrap(), Stored { bytes: 5, etag: None });
            assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"abcde");
            assert_eq!(files(folder.path()), ["a.parquet"], "{steps}");
        }
    }
}

#[tokio::test]
async fn a_failed_write_takes_its_temporary_file_away_and_is_mended_by_the_same_call() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Watched::default());
    let sink = sink(folder.path(), disk.clone()).unwrap();
    std::fs::create_dir_all(folder.path().join(KEY)).unwrap();
    let error = store(&sink, KEY).await.unwrap_err();
    assert_eq!(error.class, SinkErrorClass::Other);
    let text = error.to_string();
    assert!(text.contains("cannot rename the finished file to") && text.contains(KEY), "{text}");
    assert_eq!(files(folder.path()), [""; 0]);
    std::fs::remove_dir(folder.path().join(KEY)).unwrap();
    for (kind, class) in [
        (io::ErrorKind::PermissionDenied, SinkErrorClass::Denied),
        (io::ErrorKind::StorageFull, SinkErrorClass::Other),
        (io::ErrorKind::ResourceBusy, SinkErrorClass::Transient),
    ] {
        disk.stop_after(4, kind);
        assert_eq!(store(&sink, KEY).await.unwrap_err().class, class);
        disk.go_on();
    }
    store(&sink, KEY).await.unwrap();
    assert_eq!(files(folder.path()), ["a.parquet"]);
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_not_disturbed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let busy = Arc::new(Mutex::new(HashSet::new()));
    let root = folder.path().to_owned();
    let place = Arc::new(Folder {
        generation: None,
        root: root.clone(),
        disk: Arc::new(RealDisk),
        busy: Arc::clone(&busy),
        writes: TaskTracker::new(),
        durable: Mutex::default(),
    });
    let turn = Turn::take(&busy, &root.join(temporary_name(b"a", None))).unwrap();
    let object = Object { key: "a", chunks: &[], identity: "test" };
    assert_eq!(place.store(&object).await.unwrap_err().class, SinkErrorClass::Transient);
    drop(turn);
    place.store(&object).await.unwrap();
    assert_eq!(busy.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn none_of_two_that_may_write_the_same_file_names_what_the_other_has_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), Arc::new(RealDisk)).unwrap();
    let (old, new) = (sink.written_by(1), sink.written_by(2));
    let beginning = Beginning { key: KEY, identity: "test", is_again: false, notes: &NoNotes };
    let Begun::Growing(half) = old.begin(&beginning).await.unwrap() else { panic!("nothing is there") };
    half.put_part(0, 0, &[Bytes::from_static(b"abc")]).await.unwrap();
    store(&new, KEY).await.unwrap();
    assert_eq!(files(folder.path()).len(), 2, "they do not share a temporary file");
    // As the new one does with what is to be stored once more. The old one is still at work.
    new.abort_unfinished(KEY).await.unwrap();
    assert_eq!(files(folder.path()), ["a.parquet"]);
    half.put_part(1, 3, &[Bytes::from_static(b"x")]).await.unwrap();
    let completed = half.complete(Vec::new(), 4).await;
    assert!(matches!(completed, Err(GrowError::Gone(_))), "{completed:?}");
    drop(half);
    assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"abcde");
    // And makes the same again, if its ledger does not refuse that.
    store(&old, KEY).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join(KEY)).unwrap(), b"abcde");
    assert_eq!(files(folder.path()), ["a.parquet"]);
}

#[tokio::test]
async fn a_file_is_told_of_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), Arc::new(RealDisk)).unwrap();
    assert_eq!(sink.head(KEY).await.unwrap(), None);
    assert_eq!(sink.get(KEY).await.unwrap_err().class, SinkErrorClass::NotFound);
    store(&sink, KEY).await.unwrap();
    assert_eq!(sink.head(KEY).await.unwrap(), Some(Head { bytes: 5, etag: None, identity: None }));
    let mut reader = sink.get(KEY).await.unwrap();
    assert_eq!(reader.bytes(), 5);
    assert_eq!(reader.next().await.unwrap().unwrap(), "abcde");
    assert_eq!(reader.next().await.unwrap(), None);
    sink.abort_multipart(KEY, "any").await.unwrap();
}

#[tokio::test]
async fn a_key_cannot_lead_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(&folder.path().join("lake"), Arc::new(RealDisk)).unwrap();
    for key in ["../a", "x/../../a", "/../a", "./a", "x//a"] {
        assert_eq!(store(&sink, key).await.unwrap_err().class, SinkErrorClass::Other, "{key}");
    }
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test]
async fn the_longest_name_that_a_file_may_have_can_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path(), Arc::new(RealDisk)).unwrap();
    store(&sink, &"a".repeat(255)).await.unwrap();
    assert_eq!(files(folder.path()), ["a".repeat(255)]);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for root in ["file", "file/lake"] {
        let error = sink(&folder.path().join(root), Arc::new(RealDisk)).unwrap_err();
        assert_eq!(error.class, SinkErrorClass::Other, "{error}");
    }
}
