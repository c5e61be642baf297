//! Reads back what a delivery has written, with readers that are not ours.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use forebay::testkit::skip::skipped;
use serde_json::Value;

/// All files below `folder` whose name ends with `extension`, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Lines of a gzip file, through flate2.
pub fn gunzip_lines(path: &Path) -> Vec<String> {
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(File::open(path).unwrap()));
    reader.lines().map(Result::unwrap).collect()
}

/// The bytes of a gzip file, through flate2.
pub fn gunzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Lines of all gzip files below `folder`.
pub fn gunzip_all(folder: &Path) -> Vec<String> {
    files(folder, ".json.gz").iter().flat_map(|path| gunzip_lines(path)).collect()
}

/// Dead letters below `folder`.
pub fn dead_letters(folder: &Path) -> Vec<Value> {
    gunzip_all(folder).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The Python that has the independent readers, or `None` with the reason printed.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("FOREBAY_PYTHON").map(PathBuf::from);
    if python.is_none() {
        skipped("FOREBAY_PYTHON is not set (`make test` sets it to a Python with pyarrow and DuckDB)");
    }
    python
}

/// Runs a reader script of `tests/readers` that must succeed.
pub fn run_reader(python: &Path, script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
