//! What a bench has measured, in one table, beside what it had measured before.
//!
//! Full runs are kept as JSON, one run a line, in `target/bench-history/NAME.jsonl`, or in the folder that
//! FOREBAY_BENCH_HISTORY names. A figure is compared with the median of the last [`RUNS`] runs on the same model of
//! machine. Shares of a limit are compared rather than rates: what else a machine does hits both.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Call, load_average, machine, median};

/// Names the folder in which histories are kept.
const FOLDER: &str = "FOREBAY_BENCH_HISTORY";
/// How many earlier runs a figure is compared with.
const RUNS: usize = 9;
/// A figure that is so much worse than its median is marked: a tenth is what a shared machine differs by from minute to
/// minute.
const MARKED: f64 = 0.85;

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A rate, say.
    Higher,
    /// A time, say.
    Lower,
}

/// Something measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Part of the bench.
    pub part: String,
    /// What was measured; unique within its part.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// Which way it gets better.
    pub better: Better,
    /// What it is compared with in the same run, and the value divided by that one's.
    pub share: Option<(String, f64)>,
}

/// One run of a bench.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    /// Seconds since 1970.
    time: u64,
    commit: String,
    machine: String,
    load_average: String,
    figures: Vec<Figure>,
}

/// The figures of this run, as they come.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// A figure on its own.
    pub fn add(&mut self, part: &str, name: &str, (value, unit): (f64, &str), better: Better) {
        self.push(part, name, (value, unit), better, None);
    }

    /// A figure and its share of a limit.
    pub fn add_beside(
        &mut self,
        part: &str,
        name: &str,
        (value, unit): (f64, &str),
        better: Better,
        (limit, share): (&str, f64),
    ) {
        self.push(part, name, (value, unit), better, Some((limit.to_owned(), share)));
    }

    fn push(
        &mut self,
        part: &str,
        name: &str,
        (value, unit): (f64, &str),
        better: Better,
        share: Option<(String, f64)>,
    ) {
        let (part, name, unit) = (part.to_owned(), name.to_owned(), unit.to_owned());
        self.0.push(Figure { part, name, value, unit, better, share });
    }

    /// The table, to be printed. Keeps the run if it was a full one.
    #[must_use]
    pub fn finish(self, call: &Call, bench: &str) -> String {
        let path = folder().join(format!("{bench}.jsonl"));
        let before = Before::of(&read(&path), &machine());
        let table = table(&self.0, &before);
        if !call.full {
            return format!("{table}(a short run: not kept)");
        }
        let run = Run {
            time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            commit: commit(),
            machine: machine(),
            load_average: load_average(),
            figures: self.0,
        };
        append(&path, &run);
        format!("{table}kept in {}", path.display())
    }
}

fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("."));
    std::env::var_os(FOLDER).map_or_else(|| target.join("bench-history"), PathBuf::from)
}

fn append(path: &Path, run: &Run) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut line = serde_json::to_string(run).unwrap();
    line.push('\n');
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
}

/// All runs that are kept. A line of another form is one of another version, and tells nothing.
fn read(path: &Path) -> Vec<Run> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let text = described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// What earlier runs have shown of each figure: the share where there is one, or else the value.
#[derive(Debug, Default)]
struct Before(BTreeMap<(String, String), Vec<f64>>);

impl Before {
    fn of(runs: &[Run], machine: &str) -> Self {
        let mut seen = BTreeMap::<_, Vec<f64>>::new();
        for run in runs.iter().rev().filter(|run| run.machine == machine).take(RUNS) {
            for figure in &run.figures {
                seen.entry((figure.part.clone(), figure.name.clone())).or_default().push(compared(figure));
            }
        }
        Self(seen)
    }

    /// How much better a figure is than it was: 1 is the same, 0.5 is half as good.
    fn change(&self, figure: &Figure) -> Option<f64> {
        let seen = self.0.get(&(figure.part.clone(), figure.name.clone()))?;
        let (now, before) = (compared(figure), median(seen.iter().copied()));
        Some(match figure.better {
            Better::Higher => now / before,
            Better::Lower => before / now,
        })
    }
}

fn compared(figure: &Figure) -> f64 {
    figure.share.as_ref().map_or(figure.value, |(_, share)| *share)
}

fn table(figures: &[Figure], before: &Before) -> String {
    let mut text =
        format!("{:<8} {:<44} {:>14} {:<11} {:<36} earlier\n", "part", "figure", "value", "", "share of");
    for figure in figures {
        let value = if figure.value < 100.0 {
            format!("{:.2}", figure.value)
        } else {
            format!("{:.0}", figure.value)
        };
        let share = figure.share.as_ref().map(|(limit, share)| format!("{share:>5.2} x {limit}"));
        let change = before.change(figure).map(|change| {
            let mark = if change < MARKED { "  WORSE" } else { "" };
            format!("{change:.2} x as good{mark}")
        });
        let row = format!(
            "{:<8} {:<44} {value:>14} {:<11} {:<36} {}",
            figure.part,
            figure.name,
            figure.unit,
            share.unwrap_or_default(),
            change.unwrap_or_default()
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
