//! Plots and tables → one HTML file: no scripts, no fonts, nothing that is fetched.

use std::fmt::Write;

use super::picture::PLOT;
use crate::plot::svg::{Svg, escape};
use crate::plot::{Plot, draw};
use crate::record::Record;
use crate::run::report::Percentiles;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff;max-width:1320px;\
    margin:1.5rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}\
    table{border-collapse:collapse;margin:.6rem 0}th,td{padding:.2rem .7rem;text-align:right;\
    border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left}\
    .plots{display:flex;flex-wrap:wrap;gap:12px}svg{max-width:100%;height:auto}.worse{color:#a4133c;font-weight:600}\
    .better{color:#1b7837;font-weight:600}.note{color:#666}";

/// A page with its title and body.
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n{body}</body></html>\n"
    )
}

/// Plots beside each other.
pub fn plots(plots: &[Plot]) -> String {
    let mut html = "<div class=\"plots\">\n".to_owned();
    for plot in plots {
        let mut svg = Svg::default();
        draw(plot, &mut svg, (0.0, 0.0), PLOT);
        html.push_str(&svg.finish(PLOT, &format!("{} in {}", plot.title, plot.unit)));
        html.push('\n');
    }
    html + "</div>\n"
}

/// A table; the first row is its head. Cells are escaped.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut html = "<table>".to_owned();
    for (index, row) in rows.iter().enumerate() {
        let tag = if index == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        // Writing to a string cannot fail.
        for cell in row {
            let _ = write!(html, "<{tag}>{}</{tag}>", escape(cell));
        }
        html.push_str("</tr>\n");
    }
    html + "</table>\n"
}

/// A run: what was asked for, what came of it, and its plots.
pub fn run(name: &str, record: &Record, drawn: &[Plot]) -> String {
    let mut html = format!("<h2>{}</h2>\n<p>{}</p>\n", escape(name), escape(&asked(record)));
    html.push_str(&table(&totals(record)));
    html.push_str(&table(&times(record)));
    if let Some(taps) = &record.report.taps {
        html.push_str(&format!("<pre>{}</pre>\n", escape(&taps.to_string())));
    }
    if !record.report.errors.is_empty() {
        let mut rows = vec![vec!["error".to_owned(), "status".to_owned(), "count".to_owned()]];
        rows.extend(record.report.errors.iter().map(|error| {
            let status = error.status.map_or("no reply".to_owned(), |status| status.to_string());
            vec![error.code.clone(), status, error.count.to_string()]
        }));
        html.push_str(&table(&rows));
    }
    html + &plots(drawn)
}

/// What was asked for, in a sentence.
fn asked(record: &Record) -> String {
    let settings = &record.report.settings;
    let machine = &record.report.machine;
    let loop_kind = match settings.rate {
        Some(rate) => format!("open loop at {rate:.0} records/s"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{} into stream {}, {loop_kind}, requests of {} over {} connections, {} producers, compression {}; began \
         {}; load from {} CPUs, {}, Linux {}.",
        settings.source,
        settings.stream,
        settings.batch,
        settings.connections,
        settings.producers,
        settings.compression,
        record.started_at,
        machine.cpus,
        machine.cpu_model.as_deref().unwrap_or("unknown model"),
        machine.kernel.as_deref().unwrap_or("unknown"),
    )
}

fn totals(record: &Record) -> Vec<Vec<String>> {
    let report = &record.report;
    let mut rows = vec![vec!["total".to_owned(), String::new()]];
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    add("seconds", format!("{:.2}", report.seconds));
    add("records acked", report.records.acked.to_string());
    add("durability of an ack", report.durability.clone().unwrap_or_else(|| "unknown".to_owned()));
    add("records/s acked", format!("{:.0}", report.records.acked_per_second));
    add("MB/s of payload", format!("{:.2}", report.payload_bytes_per_second / 1e6));
    add("records refused / unknown / uncertain", {
        let records = &report.records;
        format!("{} / {} / {}", records.refused, records.unknown, records.uncertain)
    });
    add("requests / failed / retries", {
        let requests = &report.requests;
        format!("{} / {} / {}", requests.total, requests.failed, requests.retries)
    });
    add("requests that waited for the load generator", report.requests.starved.to_string());
    if let Some(server) = &report.server {
        add("server, CPU-seconds", format!("{:.2}", server.cpu_seconds));
        let told = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.2}"));
        add("server, CPU-seconds a GB of payload", told(server.cpu_seconds_per_gb));
        add("server, CPU-seconds a million records", told(server.cpu_seconds_per_million_records));
        add("server, peak memory in MB", format!("{:.1}", server.peak_rss_bytes as f64 / 1e6));
    }
    rows
}

fn times(record: &Record) -> Vec<Vec<String>> {
    let report = &record.report;
    let head = ["milliseconds", "requests", "mean", "p50", "p90", "p99", "p99.9", "max"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (name, times) in [
        ("latency: from when it was due", &report.latency_ms),
        ("service: from when it was sent", &report.service_ms),
        ("pacing: how late it was sent", &report.pacing_ms),
    ] {
        if times.count > 0 {
            let Percentiles { count, p50, p90, p99, p999, max, mean } = times;
            let mut row = vec![name.to_owned(), count.to_string()];
            row.extend([mean, p50, p90, p99, p999, max].map(|value| format!("{value:.3}")));
            rows.push(row);
        }
    }
    rows
}
