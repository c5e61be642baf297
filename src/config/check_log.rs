//! `[log]` of `forebay.toml`: raw → checked.

use super::checked::{Log, LogWriter};
use super::checker::Checker;
use super::limits::{SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_RANGE, SEGMENT_BYTES_STEP, SEGMENT_REQUESTS_MIN};
use super::raw::LogTable;
use super::size::Size;

/// `[log]`; `None` where a problem was added. `body_bytes_max` is missing where it has a problem of its own.
pub(super) fn check_log(
    raw: LogTable,
    body_bytes_max: Option<u64>,
    checker: &mut Checker<'_>,
) -> Option<Log> {
    let segment = check_segment(raw.segment.as_deref(), body_bytes_max.unwrap_or(0), checker);
    let words = [LogWriter::Auto, LogWriter::IoUring, LogWriter::Thread].map(|word| (word.as_str(), word));
    let writer = checker.word("log.writer", raw.writer.as_deref(), LogWriter::Auto, &words);
    Some(Log { segment_bytes: segment?, writer: writer? })
}

/// A request is never split over two segments.
fn check_segment(text: Option<&str>, body_bytes_max: u64, checker: &mut Checker<'_>) -> Option<u64> {
    const PATH: &str = "log.segment";
    let least = (body_bytes_max * SEGMENT_REQUESTS_MIN).next_multiple_of(SEGMENT_BYTES_STEP);
    // Bodies of more than half a segment of the largest size are refused where a durable stream is to take them.
    let default = SEGMENT_BYTES_DEFAULT.max(least).min(*SEGMENT_BYTES_RANGE.end());
    let segment = checker.size_within(PATH, text, default, SEGMENT_BYTES_RANGE)?;
    if !segment.is_multiple_of(SEGMENT_BYTES_STEP) {
        let (found, step) = (Size(segment), Size(SEGMENT_BYTES_STEP));
        let near = Size(segment.next_multiple_of(SEGMENT_BYTES_STEP));
        checker.problem(PATH, format!("segment = {found} is no multiple of {step}: write {near}"));
        return None;
    }
    if text.is_none() || segment >= least {
        return Some(segment);
    }
    let (found, body, most) = (Size(segment), Size(body_bytes_max), Size(segment / SEGMENT_REQUESTS_MIN));
    let message =
        format!("segment = {found} does not hold {SEGMENT_REQUESTS_MIN} requests of max_body = {body}");
    let help = if SEGMENT_BYTES_RANGE.contains(&least) {
        format!("write segment = \"{}\" or more, or max_body = \"{most}\" or less", Size(least))
    } else {
        format!("write max_body = \"{most}\" or less")
    };
    checker.problem_with_help(PATH, message, help);
    None
}
