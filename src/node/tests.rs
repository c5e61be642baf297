use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::runtime::disk::{DiskFile, RealDisk};

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn open(folder: &TempDir, name: Option<&str>) -> Result<NodeFolder, NodeError> {
    NodeFolder::open(real(), folder.path(), name)
}

/// The folder of a node that has been opened and closed.
fn begun(name: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open(&folder, name).unwrap();
    folder
}

/// Every name below a folder, and what its file has.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        }
        let content = path.is_file().then(|| fs::read(&path).unwrap());
        found.insert(path, content);
    }
    found
}

/// What opening says, which leaves the folder as it was.
fn refused(folder: &Path, name: Option<&str>) -> String {
    let before = everything(folder);
    let error = NodeFolder::open(real(), folder, name).unwrap_err();
    assert_eq!(everything(folder), before, "{error}");
    error.to_string().replace(&folder.display().to_string(), "F")
}

#[test]
fn a_new_folder_gets_an_id_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let first = NodeFolder::open(real(), &path, Some("n")).unwrap();
    let (id, name) = (first.id(), first.name().map(str::to_owned));
    assert_eq!((id.to_string().len(), name.as_deref()), (16, Some("n")));
    assert_eq!(id.short(), id.to_string()[..8]);
    assert_eq!(first.ledger("s", "d"), path.join("ledger/s/d"));
    drop(first);
    for name in [None, Some("n")] {
        let again = NodeFolder::open(real(), &path, name).unwrap();
        assert_eq!((again.id(), again.name()), (id, Some("n")));
    }
    let other = NodeFolder::open(real(), &folder.path().join("other"), None).unwrap();
    assert_ne!(other.id(), id);
}

#[test]
fn a_folder_with_other_things_in_it_is_taken_and_they_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lake")).unwrap();
    assert!(!NodeFolder::is_begun(&RealDisk, folder.path()));
    drop(open(&folder, None).unwrap());
    assert!(NodeFolder::is_begun(&RealDisk, folder.path()));
    assert!(folder.path().join("lake").is_dir());
}

#[test]
fn a_node_without_a_name_gets_one_once() {
    let folder = begun(None);
    let id = open(&folder, None).unwrap().id();
    let named = open(&folder, Some("a")).unwrap();
    assert_eq!((named.id(), named.name()), (id, Some("a")));
    drop(named);
    assert!(refused(folder.path(), Some("b")).contains("belongs to node \"a\""));
}

#[test]
fn a_folder_of_another_version_is_not_touched() {
    let folder = begun(None);
    for file in ["node.json", "catalog.json"] {
        fs::write(folder.path().join(file), "{ \"format\": 2, \"new\": \"things\" }").unwrap();
        assert_eq!(
            refused(folder.path(), None),
            format!(
                "F/{file} has format 2, and this version of forebay reads format 1: run the version that wrote it, or set data_dir to another folder"
            )
        );
        fs::remove_file(folder.path().join(file)).unwrap();
        drop(open(&folder, None).unwrap());
    }
}

#[test]
fn a_folder_of_another_node_is_not_touched() {
    let folder = begun(Some("b"));
    assert_eq!(
        refused(folder.path(), Some("a")),
        "F belongs to node \"b\", and this node is \"a\": set data_dir to the folder of this node, or node = \"b\""
    );
}

#[test]
fn a_folder_in_use_is_not_touched() {
    let folder = begun(None);
    let held = open(&folder, None).unwrap();
    let pid = std::process::id();
    assert_eq!(
        refused(folder.path(), None),
        format!(
            "F is in use by another process (its lock file names process {pid}): stop that one first, or set data_dir to another folder"
        )
    );
    let error = NodeFolder::open_existing_for_reading(real(), folder.path()).unwrap_err();
    assert!(matches!(error, NodeError::InUse { process: Some(found), .. } if found == pid), "{error}");
    drop(held);
    drop(open(&folder, None).unwrap());
    fs::write(folder.path().join("lock"), "nonsense").unwrap();
    let _held = NodeFolder::open_existing_for_reading(real(), folder.path()).unwrap();
    assert!(refused(folder.path(), None).starts_with("F is in use by another process: stop"));
}

#[test]
fn a_folder_with_records_of_nobody_is_not_touched() {
    for found in ["log", "ledger", "catalog.json"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(found)).unwrap();
        assert!(NodeFolder::is_begun(&RealDisk, folder.path()));
        assert_eq!(
            refused(folder.path(), None),
            format!(
                "F has {found}, and no node.json that tells whose it is: restore that file from a backup, or set data_dir to another folder"
            )
        );
    }
}

#[test]
fn damaged_files_are_named_and_not_touched() {
    let folder = begun(Some("a"));
    let file = folder.path().join("node.json");
    let good = fs::read_to_string(&file).unwrap();
    let torn = good[..good.len() / 2].to_owned();
    for bad in [String::new(), torn, good.replace("\"a\"", "\"b\""), "\0".repeat(100)] {
        fs::write(&file, bad).unwrap();
        let said = refused(folder.path(), None);
        assert!(said.starts_with("F/node.json is damaged or was changed by hand ("), "{said}");
        assert!(said.ends_with("): restore it from a backup"), "{said}");
    }
    fs::write(&file, good).unwrap();
    fs::write(folder.path().join("catalog.json"), "{}").unwrap();
    let said = refused(folder.path(), None);
    assert!(said.starts_with("F/catalog.json is damaged"), "{said}");
}

#[test]
fn a_file_in_place_of_the_folder_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = NodeFolder::open(real(), &path, None).unwrap_err();
        let said = format!(
            "{} is not a folder: set data_dir to a folder, or to a path where one can be made",
            path.display()
        );
        assert_eq!(error.to_string(), said);
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    assert!(!NodeFolder::is_begun(&RealDisk, &file));
}

#[test]
fn a_folder_that_may_not_be_written_is_not_touched() {
    let folder = begun(None);
    let before = everything(folder.path());
    let disk = Arc::new(Failing::with(ErrorAt::ReadOnly));
    let error = NodeFolder::open(disk, folder.path(), None).unwrap_err().to_string();
    assert!(error.contains(" cannot be used (") && error.contains("read and write there"), "{error}");
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn reading_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let reading = || NodeFolder::open_existing_for_reading(real(), folder.path());
    for path in [folder.path().to_owned(), folder.path().join("none")] {
        let error = NodeFolder::open_existing_for_reading(real(), &path).unwrap_err();
        assert!(matches!(error, NodeError::Missing { .. }), "{error}");
    }
    assert!(everything(folder.path()).is_empty());
    let id = open(&folder, None).unwrap().id();
    let before = everything(folder.path());
    assert_eq!(reading().unwrap().id(), id);
    assert_eq!(everything(folder.path()), before);
    // A copy without a lock file.
    fs::remove_file(folder.path().join("lock")).unwrap();
    assert_eq!(reading().unwrap().id(), id);
    assert!(!folder.path().join("lock").exists());
}

#[test]
fn whatever_write_fails_the_folder_can_be_opened_afterwards() {
    let mut failures = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let disk = Arc::new(Failing::with(ErrorAt::Write(failures)));
        let opened = NodeFolder::open(disk, &path, Some("a"));
        let done = opened.as_ref().ok().map(NodeFolder::id);
        drop(opened);
        let again = NodeFolder::open(real(), &path, Some("a")).unwrap();
        assert_eq!(again.name(), Some("a"));
        assert!(done.is_none_or(|id| id == again.id()), "an id that was told stays");
        if done.is_some() {
            break;
        }
        failures += 1;
    }
    assert!(failures >= 8, "only {failures} steps could fail");
}

#[test]
fn a_node_id_has_one_form() {
    assert_eq!(NodeId::parse("00000000000000ff"), Some(NodeId(255)));
    for text in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000fg", "000000000000000ff"] {
        assert_eq!(NodeId::parse(text), None, "{text}");
    }
}

/// Where [`Failing`] fails.
#[derive(Debug)]
enum ErrorAt {
    /// The write, sync or change of names of this number, and all that come after it.
    Write(i64),
    /// Every write, and the question whether there may be one.
    ReadOnly,
}

/// The disk of this machine, failing.
#[derive(Debug)]
struct Failing {
    at: ErrorAt,
    writes: Arc<AtomicI64>,
}

impl Failing {
    fn with(at: ErrorAt) -> Self {
        let writes = match at {
            ErrorAt::Write(number) => number,
            ErrorAt::ReadOnly => 0,
        };
        Self { at, writes: Arc::new(AtomicI64::new(writes)) }
    }
}

fn fail_at_zero(writes: &AtomicI64) -> io::Result<()> {
    if writes.fetch_sub(1, Ordering::Relaxed) > 0 {
        return Ok(());
    }
    Err(io::ErrorKind::StorageFull.into())
}

impl Disk for Failing {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fail_at_zero(&self.writes)?;
        RealDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        fail_at_zero(&self.writes)?;
        Ok(Arc::new(FailingFile { file: RealDisk.create(path)?, writes: Arc::clone(&self.writes) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FailingFile { file: RealDisk.open(path)?, writes: Arc::clone(&self.writes) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fail_at_zero(&self.writes)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fail_at_zero(&self.writes)?;
        RealDisk.sync_folder(folder)
    }

    fn check_writable(&self, _folder: &Path) -> io::Result<()> {
        match self.at {
            ErrorAt::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            ErrorAt::Write(_) => Ok(()),
        }
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn DiskFile>,
    writes: Arc<AtomicI64>,
}

impl DiskFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        // Half of it comes through.
        if let Err(error) = fail_at_zero(&self.writes) {
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        fail_at_zero(&self.writes)?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fail_at_zero(&self.writes)?;
        self.file.set_len(bytes)
    }

    fn file(&self) -> Option<&fs::File> {
        self.file.file()
    }
}
