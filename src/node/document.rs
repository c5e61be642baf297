//! Small files that are replaced as a whole: JSON for people and programs, with a checksum for what neither has done.
//!
//! ```json
//! { "format": 1, …, "checksum": "0123456789abcdef" }
//! ```
//!
//! The checksum is XXH3 (64 bits, seed 0) of the document without it, as JSON without white space, members in the
//! order of the file. A file is written under another name (`node.json.new`), synced, renamed, and its folder synced:
//! a crash leaves the old file or the new one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::NodeError;
use crate::config::limits::NODE_FILE_BYTES_MAX;
use crate::crash_point;
use crate::runtime::disk::{Disk, DiskFile};

/// The format of all files of this module and of [`super::catalog`].
const FORMAT: u64 = 1;

/// Reads the file at `path`.
pub(super) fn read<T: DeserializeOwned>(disk: &dyn Disk, path: &Path) -> Result<T, NodeError> {
    let bytes = read_bytes(disk, path).map_err(|source| NodeError::io(path, source))?;
    parse(path, &bytes)
}

fn read_bytes(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let bytes = file.len()?;
    if bytes > NODE_FILE_BYTES_MAX {
        let text = format!("it has {bytes} bytes, and no such file has more than {NODE_FILE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut content = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// Reads what was found at `path`.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, NodeError> {
    let damaged = |what: String| NodeError::Damaged { path: path.to_owned(), what };
    let document: Value = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let Value::Object(mut document) = document else { return Err(damaged("it is no object".to_owned())) };
    // Before anything else: another version may have other members and another checksum.
    let format = document.get("format").and_then(Value::as_u64);
    let found = format.ok_or_else(|| damaged("it does not tell its format".to_owned()))?;
    if found != FORMAT {
        return Err(NodeError::OtherFormat { path: path.to_owned(), found, known: FORMAT });
    }
    let told = document.shift_remove("checksum");
    if told.as_ref().and_then(Value::as_str) != Some(checksum(&document).as_str()) {
        return Err(damaged("its checksum is another".to_owned()));
    }
    document.shift_remove("format");
    serde_json::from_value(Value::Object(document)).map_err(|error| damaged(error.to_string()))
}

/// Puts `content`, an object, in the place of the file `name` of `folder`.
pub(super) fn write(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    content: &impl Serialize,
) -> Result<(), NodeError> {
    write_by(|path| disk.create(path), disk, folder, (name, content))
}

/// The same for a file that nobody but the process's user may read.
pub(super) fn write_private(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    content: &impl Serialize,
) -> Result<(), NodeError> {
    write_by(|path| disk.create_private(path), disk, folder, (name, content))
}

fn write_by(
    create: impl Fn(&Path) -> io::Result<Arc<dyn DiskFile>>,
    disk: &dyn Disk,
    folder: &Path,
    (name, content): (&str, &impl Serialize),
) -> Result<(), NodeError> {
    let path = folder.join(name);
    let bytes = print(content).map_err(|source| NodeError::io(&path, source))?;
    replace(create, disk, folder, (name, &bytes)).map_err(|source| NodeError::io(&path, source))
}

fn print(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut document = Map::new();
    document.insert("format".to_owned(), FORMAT.into());
    if let Value::Object(content) = serde_json::to_value(content)? {
        document.extend(content);
    }
    document.insert("checksum".to_owned(), checksum(&document).into());
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn replace(
    create: impl Fn(&Path) -> io::Result<Arc<dyn DiskFile>>,
    disk: &dyn Disk,
    folder: &Path,
    (name, bytes): (&str, &[u8]),
) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    // What a crash has left of the last try.
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = create(&new)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    if name == super::NODE {
        crash_point!("node.rename");
    } else if name == super::CATALOG {
        crash_point!("catalog.rename");
    }
    disk.rename(&new, &folder.join(name))?;
    disk.sync_folder(folder)
}

fn checksum(document: &Map<String, Value>) -> String {
    // A map of JSON values always serialises.
    let text = serde_json::to_vec(document).unwrap_or_default();
    format!("{:016x}", xxh3_64(&text))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Content {
        name: String,
        numbers: Vec<u64>,
    }

    fn read_back(bytes: &[u8]) -> Result<Content, NodeError> {
        parse(&PathBuf::from("x.json"), bytes)
    }

    #[test]
    fn the_form_of_a_file_is_fixed() {
        let bytes = print(&Content { name: "a".into(), numbers: vec![u64::MAX] }).unwrap();
        let text = "{\n  \"format\": 1,\n  \"name\": \"a\",\n  \"numbers\": [\n    18446744073709551615\n  ],\n  \
                    \"checksum\": \"a3a58e3d37deb346\"\n}\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    #[test]
    fn what_is_no_such_file_is_told_apart() {
        for (text, said) in [
            ("", "x.json is damaged or was changed by hand (EOF while parsing"),
            ("[1]", "x.json is damaged or was changed by hand (it is no object)"),
            ("{}", "x.json is damaged or was changed by hand (it does not tell its format)"),
            (
                "{\"format\":2}",
                "x.json has format 2, and this version of forebay reads format 1: run the version that wrote it",
            ),
            (
                "{\"format\":1,\"name\":\"a\",\"numbers\":[]}",
                "x.json is damaged or was changed by hand (its checksum is another)",
            ),
        ] {
            let error = read_back(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let other = print(&serde_json::json!({ "nam": "a" })).unwrap();
        assert!(read_back(&other).unwrap_err().to_string().contains("unknown field `nam`"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(name: String, numbers: Vec<u64>) {
            let content = Content { name, numbers };
            prop_assert_eq!(read_back(&print(&content).unwrap()).unwrap(), content);
        }

        #[test]
        fn a_changed_byte_changes_nothing_or_is_found(at: prop::sample::Index, byte: u8, name in "[a-z]{1,9}") {
            let content = Content { name, numbers: vec![1, 22, 333] };
            let mut bytes = print(&content).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = read_back(&bytes) {
                prop_assert_eq!(read, content);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(read_back(&bytes).is_err());
        }
    }
}
