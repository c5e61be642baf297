//! Files of a log that are closed: their names, and their compression in steps.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime};
use flate2::write::GzEncoder;

use crate::runtime::clock::UnixMicros;

/// Bytes of a closed file that are compressed before lines are looked for again: about 2 ms.
const STEP_BYTES: usize = 128 << 10;

/// What a file that is being compressed ends with.
const UNFINISHED: &str = ".gz.new";

/// The form of the time in names of closed files, in UTC.
const TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// The name of a file that is closed now. It comes behind those of all that were closed before, also where they were
/// closed within a millisecond or the clock was set back.
pub(super) fn closed_name(path: &Path, now: UnixMicros) -> io::Result<PathBuf> {
    let (stem, end) = parts(path);
    let newest =
        closed_files(path)?.last().and_then(|path| millis_of(path.file_name()?.to_str()?, &stem, &end));
    let millis = now.as_millis().max(newest.map_or(0, |newest| newest + 1));
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    Ok(path.with_file_name(format!("{stem}{}{end}", time.format(TIME))))
}

/// When a file of that name was closed, if it was.
fn millis_of(name: &str, stem: &str, end: &str) -> Option<i64> {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let time = plain.strip_prefix(stem)?.strip_suffix(end)?;
    // Others may have names like it, but not of this form.
    let is_ours = time.len() == "20261122T060000.000Z".len();
    is_ours
        .then(|| NaiveDateTime::parse_from_str(time, TIME).ok())?
        .map(|time| time.and_utc().timestamp_millis())
}

/// What stands before the time in names of closed files, and behind it.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    (format!("{}-", text(path.file_stem())), end)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The closed files of a log, the oldest first.
pub(super) fn closed_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, end) = parts(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if millis_of(name, &stem, &end).is_some() {
            // As it was named, so that both can be compared with a path.
            found.push(path.with_file_name(name));
        }
    }
    // All times have one length, so they sort as text.
    found.sort();
    Ok(found)
}

/// A closed file that becomes a compressed one.
pub(super) struct Compression {
    path: PathBuf,
    from: File,
    to: GzEncoder<File>,
    step: Vec<u8>,
}

impl Compression {
    /// Begins.
    pub fn begin(path: PathBuf) -> io::Result<Self> {
        let from = File::open(&path)?;
        let to = File::create(with_end(&path, UNFINISHED))?;
        let to = GzEncoder::new(to, flate2::Compression::fast());
        Ok(Self { path, from, to, step: vec![0; STEP_BYTES] })
    }

    /// Whether it is that file which is compressed.
    pub fn is_of(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Goes on. Returns whether it is done: then the compressed file has taken the place of the other.
    pub fn step(&mut self) -> io::Result<bool> {
        let read = self.from.read(&mut self.step)?;
        if read > 0 {
            self.to.write_all(self.step.get(..read).unwrap_or_default())?;
            return Ok(false);
        }
        self.to.try_finish()?;
        fs::rename(with_end(&self.path, UNFINISHED), with_end(&self.path, ".gz"))?;
        fs::remove_file(&self.path)?;
        Ok(true)
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        // There is none if it is done.
        let _ = fs::remove_file(with_end(&self.path, UNFINISHED));
    }
}
