//! Reading back what is in the lake.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::runtime::disk::Disk;
use crate::testkit::disk::SimulatedDisk;

/// A file, and the numbers of its records in their order.
pub struct LakeFile {
    pub name: String,
    pub folder: String,
    /// Number of the seal.
    pub number: u64,
    pub records: Vec<u64>,
}

/// All files of all sinks by the numbers of their seals.
pub fn files(disk: &SimulatedDisk) -> Vec<LakeFile> {
    let mut files: Vec<_> = ["/lake", "/pond"].iter().flat_map(|root| paths(disk, Path::new(root))).collect();
    files.sort();
    let mut files: Vec<_> = files.iter().map(|path| read(disk, path)).collect();
    files.sort_by_key(|file| file.number);
    files
}

fn paths(disk: &SimulatedDisk, folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for path in disk.list(folder).unwrap() {
        match disk.content(&path) {
            Ok(_) if path.extension().is_some_and(|extension| extension == "tmp") => {}
            Ok(_) => paths.push(path),
            Err(_) => paths.extend(self::paths(disk, &path)),
        }
    }
    paths
}

fn read(disk: &SimulatedDisk, path: &Path) -> LakeFile {
    let content = disk.content(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let number = name.split('-').nth(3).unwrap().parse().unwrap();
    let records = if name.ends_with(".parquet") {
        parquet_numbers(content)
    } else {
        let mut text = String::new();
        if name.ends_with(".gz") {
            MultiGzDecoder::new(&*content).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(content).unwrap();
        }
        // Nothing need stand between values.
        let values = serde_json::Deserializer::from_str(&text).into_iter();
        values.map(|value| number_of(value.unwrap())).collect()
    };
    let folder = path.parent().unwrap().to_str().unwrap().to_owned();
    LakeFile { name: path.display().to_string(), folder, number, records }
}

fn number_of(mut value: Value) -> u64 {
    if let Some(raw) = value.get("raw").or(value.get("rawData")) {
        value = serde_json::from_slice(&STANDARD.decode(raw.as_str().unwrap()).unwrap()).unwrap();
    }
    value["n"].as_u64().unwrap()
}

fn parquet_numbers(content: Vec<u8>) -> Vec<u64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(content)).unwrap().build().unwrap();
    let batches = reader.map(Result::unwrap);
    let numbers = batches.flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    numbers.map(i64::cast_unsigned).collect()
}
