use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::writer::Sink;
use super::*;
use crate::config::checked::LogFile;
use crate::runtime::park::ParkingRuntime;
use crate::telemetry::metrics::Registry;

fn rule(path: &Path, bytes_max: u64) -> LogFile {
    let age_max = Duration::from_secs(3600);
    LogFile { path: path.to_owned(), bytes_max, age_max, kept: 3, is_compressed: false }
}

fn open(rule: LogFile, registry: &Registry) -> (Arc<Lines>, Writer) {
    Lines::open("access log", &LogTo::File(rule), registry.lines("access")).unwrap()
}

/// Metrics of the log.
fn counted(registry: &Registry, what: &str) -> u64 {
    let text = registry.render();
    let line = text.lines().find(|line| line.starts_with(what));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder).unwrap().map(name).collect()
}

/// The text of all files of a folder in the order of their names, those with `.gz` decompressed.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<_> = names(folder)
        .into_iter()
        .map(|name| {
            let bytes = fs::read(folder.join(&name)).unwrap();
            let mut text = String::new();
            match name.ends_with(".gz") {
                true => flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap(),
                false => bytes.as_slice().read_to_string(&mut text).unwrap(),
            };
            (name, text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn lines_of_all_threads_are_written_whole_and_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new().unwrap();
    let (lines, writer) = open(rule(&folder.path().join("logs/a.log"), 1 << 30), &registry);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let lines = &lines;
            scope.spawn(move || {
                let runtime = ParkingRuntime::build().unwrap();
                runtime.block_on(async {
                    for number in 0..2_000 {
                        lines.add(|line| write!(line, "{thread} {number}").unwrap());
                        if number % 700 == 0 {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                });
            });
        }
    });
    lines.add(|line| line.extend_from_slice(b"3 0"));
    lines.add_now(b"4 0");
    writer.end();
    let text = fs::read_to_string(folder.path().join("logs/a.log")).unwrap();
    for (thread, count) in [(0, 2_000), (1, 2_000), (2, 2_000), (3, 1), (4, 1)] {
        let of = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} ")));
        let numbers: Vec<u32> = of.map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "thread {thread}");
    }
    assert_eq!(counted(&registry, "forebay_lines_written_total{log=\"access\"}"), 6_002);
    lines.add_now(b"too late");
    assert_eq!(counted(&registry, "forebay_lines_dropped_total{log=\"access\",why=\"full\"}"), 1);
}

/// Takes what it is told to take.
struct Slow {
    told: Receiver<bool>,
    taken: Sender<usize>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.told.recv() {
            Ok(true) => {
                let _ = self.taken.send(bytes.len());
                Ok(bytes.len())
            }
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_leaves_lines_never_waits_and_what_is_too_much_is_counted() {
    let registry = Registry::new().unwrap();
    let (queue, work) = (Mutex::default(), Condvar::new());
    let lines = Arc::new(Lines { name: "access log", queue, work, metrics: registry.lines("access") });
    let ((tell, told), (taken, took)) = (mpsc::channel(), mpsc::channel());
    let writer = Writer::start_with(&lines, Sink::Stream(Box::new(Slow { told, taken }))).unwrap();
    lines.add_now(b"first");
    // The writer has taken it from the queue once it takes more.
    let line = vec![b'x'; LOG_LINES_QUEUE_BYTES / 4 - 1];
    tell.send(true).unwrap();
    assert_eq!(took.recv().unwrap(), 6);
    let dropped = |why: &str| {
        counted(&registry, &format!("forebay_lines_dropped_total{{log=\"access\",why=\"{why}\"}}"))
    };
    // It may take a batch and hold it while it is told nothing: what is left besides is a queue at most.
    for _ in 0..12 {
        lines.add_now(&line);
    }
    assert!(dropped("full") >= 4, "{}", dropped("full"));
    // Then the disk is full, and writable again.
    tell.send(false).unwrap();
    for _ in 0..2 {
        tell.send(true).unwrap();
    }
    drop(tell);
    writer.end();
    assert!(dropped("failed") >= 1);
    let written = counted(&registry, "forebay_lines_written_total{log=\"access\"}");
    assert_eq!(written + dropped("full") + dropped("failed"), 13, "each line is counted once");
}

#[test]
fn files_are_closed_by_size_at_ends_of_lines_and_the_oldest_are_removed() {
    for is_compressed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(folder.path().join("a-unrelated.log"), "mine").unwrap();
        let registry = Registry::new().unwrap();
        let rule = LogFile { is_compressed, ..rule(&path, 100) };
        let (lines, writer) = open(rule.clone(), &registry);
        let line = |number: u32| format!("line {number:03} {}", "x".repeat(31));
        for number in 0..21 {
            lines.add_now(line(number).as_bytes());
        }
        lines.add_now("long".repeat(100).as_bytes());
        writer.end();
        if is_compressed {
            // What was not compressed yet is so by the next process.
            let (lines, writer) = open(rule, &registry);
            let is_plain = |name: &String| name.ends_with("Z.log") || name.ends_with(".new");
            while names(folder.path()).iter().any(is_plain) {
                lines.wait(Duration::from_millis(5));
            }
            writer.end();
        }
        let found = files(folder.path());
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let end = if is_compressed { "Z.log.gz" } else { "Z.log" };
        assert_eq!(names.len(), 5, "three closed ones, the one that is written, and another's: {names:?}");
        assert_eq!(names.iter().filter(|name| name.ends_with(end)).count(), 3, "{names:?}");
        let texts: Vec<_> =
            found.iter().filter(|(name, _)| name.ends_with(end)).map(|(_, text)| text).collect();
        let two = |number: u32| format!("{}\n{}\n", line(number), line(number + 1));
        assert_eq!(texts, [&two(16), &two(18), &format!("{}\n", line(20))]);
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 401);
    }
}

#[test]
fn a_file_is_closed_by_age_and_opened_again_where_it_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let registry = Registry::new().unwrap();
    let mut rule = rule(&path, 1 << 20);
    let (lines, writer) = open(rule.clone(), &registry);
    lines.add_now(b"one");
    while !fs::read_to_string(&path).unwrap().contains("one") {
        std::thread::yield_now();
    }
    fs::rename(&path, folder.path().join("moved")).unwrap();
    lines.reopen();
    lines.add_now(b"two");
    writer.end();
    assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    rule.age_max = Duration::from_micros(1);
    let (lines, writer) = open(rule, &registry);
    lines.add_now(b"three");
    writer.end();
    // The last one may have been closed as well before the end.
    let texts = files(folder.path()).into_iter().map(|(_, text)| text);
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    assert_eq!(texts, ["two\n", "three\n", "one\n"]);
}

#[test]
fn lines_that_are_moved_are_written_once_each_where_they_were_meant_for() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new().unwrap();
    let (old, new) = (folder.path().join("old.log"), folder.path().join("new.log"));
    let (lines, writer) = open(rule(&old, 1 << 30), &registry);
    let add =
        |from: u32| (from..from + 1_000).for_each(|number| lines.add_now(number.to_string().as_bytes()));
    let place = |path: &Path, bytes_max| Place::open(&LogTo::File(rule(path, bytes_max))).unwrap();
    add(0);
    // Opened while the old one is still written: what stands there is not known yet.
    let again = place(&old, 1 << 30);
    lines.move_to(place(&new, 1 << 30));
    add(1_000);
    lines.move_to(again);
    add(2_000);
    // The same file by another rule.
    lines.move_to(place(&old, 1 << 20));
    add(3_000);
    writer.end();
    let numbers = |path: &Path| -> Vec<u32> {
        fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    };
    let (old, new) = (numbers(&old), numbers(&new));
    let mut all = [old.clone(), new].concat();
    all.sort_unstable();
    assert_eq!(all, (0..4_000).collect::<Vec<_>>());
    assert!(
        old.starts_with(&(0..1_000).collect::<Vec<_>>())
            && old.ends_with(&(3_000..4_000).collect::<Vec<_>>())
    );
    assert_eq!(counted(&registry, "forebay_lines_written_total{log=\"access\"}"), 4_000);
    assert!(Place::open(&LogTo::File(rule(&folder.path().join("old.log/x.log"), 1))).is_err());
}
