//! Shards, for people.

use std::io::{self, Write};

use super::node::{HeavyKeyInfo, ShardInfo};

const HEADINGS: [&str; 8] =
    ["shard", "state", "hash keys %", "records/s", "bytes/s", "retained", "heaviest keys", "parents"];

/// Columns of numbers, which stand at the right.
const NUMBERS: std::ops::Range<usize> = 2..6;

/// Heaviest keys that are shown of a shard, and characters of each.
const KEYS_SHOWN: usize = 2;
/// See [`KEYS_SHOWN`].
const KEY_CHARACTERS_MAX: usize = 24;

/// Prints a line a shard.
///
/// # Errors
/// If the output cannot be written.
pub fn print<'a>(shards: impl Iterator<Item = &'a ShardInfo>, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(shards.map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(if column == 0 { "" } else { "  " });
            let is_number = NUMBERS.contains(&column);
            line.push_str(&if is_number { format!("{cell:>width$}") } else { format!("{cell:width$}") });
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cells(info: &ShardInfo) -> [String; HEADINGS.len()] {
    let keys: Vec<_> = info.heaviest_keys.iter().take(KEYS_SHOWN).map(key).collect();
    // Parents are told by their numbers: the shards themselves are mostly gone.
    let numbers = info.parents.iter().map(|parent| {
        let digits = parent.rsplit('-').next().unwrap_or_default().trim_start_matches('0');
        if digits.is_empty() { "0" } else { digits }
    });
    [
        info.shard.clone(),
        if info.open { "open" } else { "closed" }.to_owned(),
        format!("{}-{}", percent(&info.starting_hash_key, 0), percent(&info.ending_hash_key, 1)),
        format!("{:.0}", info.records_per_second),
        format!("{:.0}", info.bytes_per_second),
        info.retained_bytes.to_string(),
        keys.join(", "),
        numbers.collect::<Vec<_>>().join("+"),
    ]
}

/// How far into all hash keys it is, with the keys up to and with it where `beyond` is 1.
fn percent(hash_key: &str, beyond: u8) -> String {
    let hash_key: u128 = hash_key.parse().unwrap_or_default();
    let percent = (hash_key as f64 + f64::from(beyond)) / 2_f64.powi(128) * 100.0;
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn key(key: &HeavyKeyInfo) -> String {
    let mut shown: String = key.partition_key.chars().take(KEY_CHARACTERS_MAX).collect();
    if shown.len() < key.partition_key.len() {
        shown.push('…');
    }
    format!("{shown:?} {:.0}%", key.share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_range_heat_and_parents() {
        let info = |shard: &str, range: (u128, u128), parents: &[&str], open| ShardInfo {
            shard: shard.to_owned(),
            starting_hash_key: range.0.to_string(),
            ending_hash_key: range.1.to_string(),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            open,
            retained_bytes: 12_345,
            records_per_second: 99.6,
            bytes_per_second: 3_210.4,
            heaviest_keys: vec![
                HeavyKeyInfo { partition_key: "a\n".to_owned(), share: 0.504 },
                HeavyKeyInfo { partition_key: "x".repeat(200), share: 0.1 },
                HeavyKeyInfo { partition_key: "third".to_owned(), share: 0.01 },
            ],
        };
        let mut all = info("shardId-000000000000", (0, u128::MAX), &[], false);
        all.heaviest_keys.clear();
        let parents = ["shardId-000000000000", "shardId-000000000010"];
        let half = info("shardId-000000000011", (1 << 127, u128::MAX), &parents, true);
        let mut out = Vec::new();
        print([&all, &half].into_iter(), &mut out).unwrap();
        let x = "x".repeat(24);
        let text = format!(
            "shard                 state   hash keys %  records/s  bytes/s  retained  heaviest keys                               parents\n\
             shardId-000000000000  closed        0-100        100     3210     12345\n\
             shardId-000000000011  open         50-100        100     3210     12345  \"a\\n\" 50%, \"{x}…\" 10%  0+10\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn parts_of_all_hash_keys_are_percent() {
        assert_eq!((percent("0", 0), percent(&u128::MAX.to_string(), 1)), ("0".to_owned(), "100".to_owned()));
        let third = u128::MAX / 3;
        assert_eq!((percent(&third.to_string(), 1), percent("7", 0)), ("33.33".to_owned(), "0".to_owned()));
    }
}
