//! The report, for people.

use std::io::{self, Write};

use super::Report;
use crate::delivery::verify::DeliveryReport;
use crate::function::balance::FunctionReport;
use crate::function::progress::Passed;

const HEADINGS: [&str; 10] = [
    "stream",
    "delivery",
    "accepted",
    "delivered",
    "dead-lettered",
    "passed over",
    "pending",
    "lost",
    "missing",
    "duplicated",
];

/// The column that stands there only if there is a backup of what fails.
const PASSED_OVER: usize = 5;

/// Columns that are text, and stand at the left.
const NAMES: usize = 2;

impl Report {
    /// Prints a table, and what is wrong.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if !self.deliveries.is_empty() {
            print_table(&self.deliveries, out)?;
        }
        for delivery in &self.deliveries {
            let DeliveryReport { stream, delivery: name, .. } = delivery;
            for finding in &delivery.findings {
                writeln!(out, "{stream}/{name}: {finding}")?;
            }
            if delivery.findings_left_out > 0 {
                writeln!(out, "{stream}/{name}: and {} things more", delivery.findings_left_out)?;
            }
        }
        for function in &self.functions {
            let FunctionReport { stream, function: name, accepted, passed, pending, .. } = function;
            let Passed { ok, dropped, failed, lost } = passed;
            writeln!(
                out,
                "{stream} through function {name}: {accepted} accepted, {ok} ok, {dropped} dropped, {failed} failed, {pending} pending, {lost} lost"
            )?;
            for finding in &function.findings {
                writeln!(out, "{stream} through function {name}: {finding}")?;
            }
        }
        for fan_out in &self.fan_outs {
            writeln!(out, "{fan_out}")?;
            for finding in &fan_out.findings {
                writeln!(out, "{}/{}: {finding}", fan_out.stream, fan_out.delivery)?;
            }
        }
        if let Some(error) = &self.log_error {
            writeln!(out, "the log cannot be read, so that records were not counted: {error}")?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        let sum = |of: fn(&DeliveryReport) -> u64| self.deliveries.iter().map(of).sum::<u64>();
        let (objects, compared) = (sum(|report| report.objects), sum(|report| report.objects_compared));
        let forgotten = sum(|report| report.objects_forgotten);
        write!(out, "{objects} objects looked at")?;
        if compared > 0 {
            write!(out, ", every line of {compared} of them compared with the log")?;
        }
        if forgotten > 0 {
            write!(out, "; {forgotten} older ones are not in the ledgers' history any more")?;
        }
        writeln!(out)?;
        writeln!(
            out,
            "{}",
            if self.ok { "ok: everything is where it must be" } else { "not well: see above" }
        )
    }
}

fn print_table(deliveries: &[DeliveryReport], out: &mut dyn Write) -> io::Result<()> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(deliveries.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let has_passed = deliveries.iter().any(|delivery| delivery.passed_over > 0);
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == PASSED_OVER && !has_passed {
                continue;
            }
            let cell = if column < NAMES { format!("{cell:width$}") } else { format!("{cell:>width$}") };
            line.push_str(if column == 0 { "" } else { "  " });
            line.push_str(&cell);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cells(report: &DeliveryReport) -> [String; HEADINGS.len()] {
    let DeliveryReport { stream, delivery, accepted, delivered, dead_lettered, .. } = report;
    let DeliveryReport { passed_over, pending, lost, missing, duplicated, .. } = report;
    let numbers = [accepted, delivered, dead_lettered, passed_over, pending, lost, missing, duplicated];
    let mut cells = [stream, delivery].into_iter().cloned().chain(numbers.map(ToString::to_string));
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}
