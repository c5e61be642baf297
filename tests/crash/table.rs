//! The table of all rows: each row is a file, and whoever writes one writes the table anew.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What became of a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// What was done to the node.
    pub name: String,
    /// How often its process died.
    pub kills: u64,
    /// Records that it acked.
    pub acked: u64,
    /// Of all lakes: records in files.
    pub delivered: u64,
    /// Of all lakes: records in dead letters.
    pub dead_lettered: u64,
    /// Of all lakes.
    pub missing: u64,
    /// Of all lakes.
    pub duplicated: u64,
    /// Of all lakes: out of order within a file.
    pub reordered: u64,
    /// What else there is to say.
    pub note: String,
}

const HEAD: &str = "\
| what happens | kills | acked | delivered | dead-lettered | missing | duplicated | reordered | note |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
";

/// Keeps a row and writes the table of all rows that there are.
pub fn keep(row: &Row) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("crash-matrix");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let name: String = row.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    fs::write(folder.join(name).with_extension("json"), serde_json::to_vec(row).unwrap()).unwrap();
    let table = render(&rows(&folder));
    fs::write(target.join("crash-matrix.md"), &table).unwrap();
    eprintln!("{HEAD}{}", line(row));
}

fn rows(folder: &Path) -> Vec<Row> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

fn render(rows: &[Row]) -> String {
    let sum = rows.iter().fold(Row { name: "all".into(), ..Row::default() }, |sum, row| Row {
        kills: sum.kills + row.kills,
        acked: sum.acked + row.acked,
        delivered: sum.delivered + row.delivered,
        dead_lettered: sum.dead_lettered + row.dead_lettered,
        missing: sum.missing + row.missing,
        duplicated: sum.duplicated + row.duplicated,
        reordered: sum.reordered + row.reordered,
        ..sum
    });
    HEAD.to_owned() + &rows.iter().chain([&sum]).map(line).collect::<String>()
}

fn line(row: &Row) -> String {
    let Row { name, kills, acked, delivered, dead_lettered, missing, duplicated, reordered, note } = row;
    format!(
        "| {name} | {kills} | {acked} | {delivered} | {dead_lettered} | {missing} | {duplicated} | {reordered} | {note} |\n"
    )
}
