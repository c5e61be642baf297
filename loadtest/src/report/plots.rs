//! A record → plots. Several records are drawn over each other, each in its colour.

use crate::plot::{Color, Plot, SERIES, Series, Stroke, XAxis};
use crate::record::{self, Interval, Record, TapInterval};

/// Records and what to call them.
pub type Named<'a> = [(String, &'a Record)];

type Points = Vec<(f64, Option<f64>)>;

/// What a line of a plot is: its name, and its points of a record.
struct Line<'a> {
    name: &'a str,
    stroke: Stroke,
    points: Box<dyn Fn(&Record) -> Points + 'a>,
}

/// The plots of records, without those that would be empty.
pub fn plots(records: &Named<'_>) -> Vec<Plot> {
    let alone = records.len() == 1;
    let mut plots = vec![
        throughput(records, alone),
        payload(records),
        latency(records, alone),
        read(records, alone),
        curve(records),
    ];
    plots.push(plot(records, "CPU of the server", "cores", vec![line("CPU", cores)]));
    plots.push(plot(records, "Memory of the server", "MB", vec![line("resident", memory)]));
    plots.push(plot(
        records,
        "Files",
        "per second",
        vec![
            of_counter("sealed", "forebay_delivery_sealed_files_total", 1.0, Stroke::Stems),
            of_counter("uploaded", "forebay_delivery_stored_files_total", 1.0, Stroke::Stems),
            of_counter("failed uploads", "forebay_delivery_upload_errors_total", 1.0, Stroke::Stems),
        ],
    ));
    plots.push(plot(
        records,
        "Delivered",
        "records/s",
        vec![
            of_counter("in files", "forebay_delivery_delivered_records_total", 1.0, Stroke::Line),
            of_counter("dead letters", "forebay_delivery_dead_lettered_records_total", 1.0, Stroke::Line),
        ],
    ));
    plots.push(plot(
        records,
        "Commits of the log",
        "per second",
        vec![of_counter("commits", "forebay_log_commits_total", 1.0, Stroke::Line)],
    ));
    plots.push(plot(
        records,
        "Not delivered yet",
        "records",
        vec![
            of_gauge("in open files", "forebay_delivery_pending_records"),
            of_gauge("behind", "forebay_delivery_backlog_records"),
        ],
    ));
    plots.retain(|plot| !plot.is_empty());
    plots
}

fn throughput(records: &Named<'_>, alone: bool) -> Plot {
    let mut lines = vec![rate("acked", Stroke::Line, |at| at.acked)];
    if alone {
        lines.push(rate("sent", Stroke::Dashed, |at| at.sent));
    }
    if records.iter().any(|(_, record)| record.intervals.iter().any(|at| at.refused > 0)) {
        lines.push(rate("refused", Stroke::Line, |at| at.refused));
    }
    if records.iter().any(|(_, record)| record.intervals.iter().any(|at| at.unknown > 0)) {
        lines.push(rate("unknown", Stroke::Line, |at| at.unknown));
    }
    // One line for all readers: each of them gets every record.
    lines.push(Line { name: "read, by a tap", stroke: Stroke::Dashed, points: Box::new(read_per_second) });
    plot(records, "Throughput", "records/s", lines)
}

fn read_per_second(record: &Record) -> Points {
    let readers = record.report.taps.as_ref().map_or(1, |taps| taps.readers.max(1)) as f64;
    let length = record.taps.interval_seconds as f64;
    let point = |at: &TapInterval| {
        let begin = at.at as f64;
        // The interval in which the load ended is shorter: what came behind it is of its end.
        let seconds = length.min(record.report.seconds - begin);
        (begin + length / 2.0, (seconds > 0.2 * length).then(|| at.records as f64 / readers / seconds))
    };
    record.taps.intervals.iter().map(point).collect()
}

/// How long records took from being sent to being read.
fn read(records: &Named<'_>, alone: bool) -> Plot {
    let of = |name, stroke, pick: fn(&record::Quantiles) -> f64| Line {
        name,
        stroke,
        points: Box::new(move |record: &Record| {
            let middle = record.taps.interval_seconds as f64 / 2.0;
            let point = |at: &TapInterval| (at.at as f64 + middle, at.latency_ms.as_ref().map(pick));
            record.taps.intervals.iter().map(point).collect()
        }),
    };
    let mut lines = vec![of("p50", Stroke::Line, |at| at.p50), of("p99", Stroke::Dashed, |at| at.p99)];
    if alone {
        lines.push(of("max", Stroke::Dashed, |at| at.max));
    }
    Plot { is_log: true, ..plot(records, "Sent to read, over time", "ms", lines) }
}

fn payload(records: &Named<'_>) -> Plot {
    let megabytes = |record: &Record| per_second(record, |at| at.payload_bytes as f64 / 1e6);
    plot(records, "Payload acked", "MB/s", vec![line("payload", megabytes)])
}

fn latency(records: &Named<'_>, alone: bool) -> Plot {
    let of = |name, stroke, pick: fn(&record::Quantiles) -> f64| Line {
        name,
        stroke,
        points: Box::new(move |record: &Record| {
            let middle = record.interval_seconds as f64 / 2.0;
            let point = |at: &Interval| (at.at as f64 + middle, at.latency_ms.as_ref().map(pick));
            record.intervals.iter().map(point).collect()
        }),
    };
    let mut lines = vec![of("p50", Stroke::Line, |at| at.p50), of("p99", Stroke::Dashed, |at| at.p99)];
    if alone {
        lines.push(of("p99.9", Stroke::Line, |at| at.p999));
        lines.push(of("max", Stroke::Dashed, |at| at.max));
    }
    Plot { is_log: true, ..plot(records, "Latency over time", "ms", lines) }
}

fn curve(records: &Named<'_>) -> Plot {
    let some =
        |curve: Vec<(f64, f64)>| curve.into_iter().map(|(share, value)| (share, Some(value))).collect();
    let latency = line("latency", move |record: &Record| some(record.percentiles.clone()));
    let service = Line {
        name: "service",
        stroke: Stroke::Dashed,
        points: Box::new(move |record: &Record| some(record::curve(&record.service_us))),
    };
    let end_to_end = line("sent to read", move |record: &Record| {
        let taps = record.report.taps.as_ref();
        some(taps.map(|taps| record::curve(&taps.latency_us)).unwrap_or_default())
    });
    let lines = vec![latency, service, end_to_end];
    let plot = plot(records, "Latency by share of requests", "ms", lines);
    Plot { x: XAxis::Share, is_log: true, marks: vec![], ..plot }
}

/// CPU seconds a second, from sample to sample that lie half a second apart or more.
fn cores(record: &Record) -> Points {
    let mut points = Vec::new();
    let Some(mut before) = record.server.first() else { return points };
    for sample in &record.server {
        let seconds = sample.at - before.at;
        if seconds >= 0.5 {
            // A process that was started anew has used nothing before.
            let used = if sample.cpu_seconds >= before.cpu_seconds {
                sample.cpu_seconds - before.cpu_seconds
            } else {
                sample.cpu_seconds
            };
            points.push(((sample.at + before.at) / 2.0, Some(used / seconds)));
            before = sample;
        }
    }
    points
}

fn memory(record: &Record) -> Points {
    record.server.iter().map(|sample| (sample.at, Some(sample.rss_bytes as f64 / 1e6))).collect()
}

fn plot(records: &Named<'_>, title: &str, unit: &'static str, lines: Vec<Line<'_>>) -> Plot {
    let mut series = Vec::new();
    for (of_record, (name, record)) in records.iter().enumerate() {
        for (of_line, line) in lines.iter().enumerate() {
            let alone = records.len() == 1;
            let points = (line.points)(record);
            // Events that never were would only take room in the legend.
            let is_nothing = |y: Option<f64>| y.is_none() || (line.stroke == Stroke::Stems && y == Some(0.0));
            if points.iter().all(|(_, y)| is_nothing(*y)) {
                continue;
            }
            series.push(Series {
                name: if alone { line.name.to_owned() } else { format!("{name}: {}", line.name) },
                color: color(if alone { of_line } else { of_record }),
                stroke: line.stroke,
                points,
            });
        }
    }
    let marks = records.iter().flat_map(|(_, record)| &record.marks);
    let marks = marks.map(|mark| (mark.at, mark.text.clone())).collect();
    Plot { title: title.to_owned(), unit, x: XAxis::Seconds, is_log: false, series, marks }
}

fn color(index: usize) -> Color {
    SERIES[index % SERIES.len()]
}

fn line<'a>(name: &'a str, points: impl Fn(&Record) -> Points + 'a) -> Line<'a> {
    Line { name, stroke: Stroke::Line, points: Box::new(points) }
}

fn rate(name: &'static str, stroke: Stroke, count: fn(&Interval) -> u64) -> Line<'static> {
    Line { name, stroke, points: Box::new(move |record| per_second(record, |at| count(at) as f64)) }
}

/// Amounts of intervals for each second. The last interval is shorter than the others where the run ended in it.
fn per_second(record: &Record, amount: impl Fn(&Interval) -> f64) -> Points {
    let length = record.interval_seconds as f64;
    let point = |at: &Interval| {
        let begin = at.at as f64;
        let seconds = length.min(record.report.seconds - begin);
        // What is told of a few milliseconds is mostly chance.
        (begin + length / 2.0, (seconds > 0.2 * length).then(|| amount(at) / seconds))
    };
    record.intervals.iter().map(point).collect()
}

/// What a counter grew by, for each second.
fn of_counter<'a>(name: &'a str, metric: &'a str, unit: f64, stroke: Stroke) -> Line<'a> {
    let points = move |record: &Record| {
        let (at, empty) = (&record.metrics.at, Vec::new());
        let values = record.metrics.series.get(metric).unwrap_or(&empty);
        let mut points = Vec::new();
        for (times, values) in at.windows(2).zip(values.windows(2)) {
            let seconds = (times[1] - times[0]).max(1e-3);
            // A counter that is less than before was started anew.
            let grown = values[0].zip(values[1]).map(|(a, b)| if b >= a { b - a } else { b });
            points.push((times[1], grown.map(|grown| grown / seconds / unit)));
        }
        points
    };
    Line { name, stroke, points: Box::new(points) }
}

fn of_gauge<'a>(name: &'a str, metric: &'a str) -> Line<'a> {
    line(name, move |record| {
        let empty = Vec::new();
        let values = record.metrics.series.get(metric).unwrap_or(&empty);
        record.metrics.at.iter().copied().zip(values.iter().copied()).collect()
    })
}
