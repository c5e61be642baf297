//! `[access_log]` and `[audit_log]` of `forebay.toml`: raw → checked.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checker::Checker;
use super::limits::{
    LOG_FILE_BYTES_DEFAULT, LOG_FILE_BYTES_RANGE, LOG_FILES_KEPT_DEFAULT, LOG_FILES_KEPT_MAX,
};

/// `[access_log]`: one line of JSON a request.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogTable {
    /// The part of the requests that get a line, from 0 to 1. Default: 1, all of them.
    #[schemars(range(min = 0.0, max = 1.0), example = 0.01)]
    pub sample: Option<f64>,
    /// Whether requests that are answered with an error get a line in any case. Default: true.
    #[schemars(example = true)]
    pub errors: Option<bool>,
    /// Where lines go unless there is a `path`: `stdout` or `stderr`. Default: `stdout`.
    #[schemars(extend("enum" = ["stdout", "stderr"]), example = &"stdout")]
    pub to: Option<String>,
    /// File that lines are written to; a relative one counts from the working folder.
    #[schemars(example = &"logs/access.log")]
    pub path: Option<String>,
    /// Size at which the file is closed and another one begun, from `64KiB` to `16GiB`. Default: `64MiB`.
    #[schemars(example = &"64MiB")]
    pub max_size: Option<String>,
    /// Age at which the same happens. Default: `24h`.
    #[schemars(example = &"24h")]
    pub max_age: Option<String>,
    /// Closed files that are kept. Default: 7.
    #[schemars(range(min = 1, max = LOG_FILES_KEPT_MAX), example = 7)]
    pub keep: Option<i64>,
    /// Whether closed files are compressed. Default: false.
    #[schemars(example = true)]
    pub gzip: Option<bool>,
}

/// `[audit_log]`: one line of JSON for each identity that is refused, and for each change that somebody asks for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditLogTable {
    /// Where lines go unless there is a `path`: `stdout` or `stderr`. Default: `stderr`.
    #[schemars(extend("enum" = ["stdout", "stderr"]), example = &"stderr")]
    pub to: Option<String>,
    /// File that lines are written to; a relative one counts from the working folder.
    #[schemars(example = &"logs/audit.log")]
    pub path: Option<String>,
    /// Size at which the file is closed and another one begun, from `64KiB` to `16GiB`. Default: `64MiB`.
    #[schemars(example = &"64MiB")]
    pub max_size: Option<String>,
    /// Age at which the same happens. Default: `24h`.
    #[schemars(example = &"24h")]
    pub max_age: Option<String>,
    /// Closed files that are kept. Default: 7.
    #[schemars(range(min = 1, max = LOG_FILES_KEPT_MAX), example = 7)]
    pub keep: Option<i64>,
    /// Whether closed files are compressed. Default: false.
    #[schemars(example = true)]
    pub gzip: Option<bool>,
}

/// Which requests get a line, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// The part of all requests, from 0 to 1.
    pub sample: f64,
    /// Whether those that are answered with an error get one in any case.
    pub errors: bool,
    /// Where lines go.
    pub to: LogTo,
}

/// Where lines of a log go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTo {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Files.
    File(LogFile),
}

/// A file that is closed from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The one that is written.
    pub path: PathBuf,
    /// Size at which it is closed.
    pub bytes_max: u64,
    /// Age at which it is closed.
    pub age_max: Duration,
    /// Closed ones that are kept.
    pub kept: usize,
    /// Whether closed ones are compressed.
    pub is_compressed: bool,
}

/// What both tables have in common.
struct To {
    to: Option<String>,
    path: Option<String>,
    max_size: Option<String>,
    max_age: Option<String>,
    keep: Option<i64>,
    gzip: Option<bool>,
}

/// `[access_log]`; `Some(None)` where there is none.
pub(super) fn check_access_log(
    table: Option<AccessLogTable>,
    checker: &mut Checker<'_>,
) -> Option<Option<AccessLog>> {
    let Some(AccessLogTable { sample, errors, to, path, max_size, max_age, keep, gzip }) = table else {
        return Some(None);
    };
    let sample = checker.fraction("access_log.sample", sample, 1.0);
    let to = check_to("access_log", To { to, path, max_size, max_age, keep, gzip }, LogTo::Stdout, checker);
    Some(Some(AccessLog { sample: sample?, errors: errors.unwrap_or(true), to: to? }))
}

/// `[audit_log]`.
pub(super) fn check_audit_log(table: Option<AuditLogTable>, checker: &mut Checker<'_>) -> Option<LogTo> {
    let AuditLogTable { to, path, max_size, max_age, keep, gzip } = table.unwrap_or_default();
    check_to("audit_log", To { to, path, max_size, max_age, keep, gzip }, LogTo::Stderr, checker)
}

fn check_to(table: &str, given: To, default: LogTo, checker: &mut Checker<'_>) -> Option<LogTo> {
    let at = |key: &str| format!("{table}.{key}");
    let size = given.max_size.as_deref();
    let bytes_max = checker.size_within(&at("max_size"), size, LOG_FILE_BYTES_DEFAULT, LOG_FILE_BYTES_RANGE);
    let day = Duration::from_secs(24 * 60 * 60);
    let age_max = checker.duration(&at("max_age"), given.max_age.as_deref(), day);
    let kept = checker.count(&at("keep"), given.keep, LOG_FILES_KEPT_DEFAULT, LOG_FILES_KEPT_MAX);
    let words = [("stdout", LogTo::Stdout), ("stderr", LogTo::Stderr)];
    let words = words.each_ref().map(|(word, to)| (*word, to));
    let stream = checker.word(&at("to"), given.to.as_deref(), &default, &words).cloned();
    let Some(path) = given.path else {
        let of_files = [size.is_some(), given.max_age.is_some(), given.keep.is_some(), given.gzip.is_some()];
        if of_files.contains(&true) {
            let message = format!(
                "max_size, max_age, keep and gzip are about files: write path = \"logs/{table}\" beside them"
            );
            checker.problem(table, message);
            return None;
        }
        return stream;
    };
    if given.to.is_some() {
        checker.problem(&at("to"), "there is a path as well: write one of them");
        return None;
    }
    let path = PathBuf::from(path);
    if path.file_name().is_none() {
        checker.problem(&at("path"), "path must end with the name of a file, such as \"logs/access.log\"");
        return None;
    }
    let is_compressed = given.gzip.unwrap_or(false);
    Some(LogTo::File(LogFile { path, bytes_max: bytes_max?, age_max: age_max?, kept: kept?, is_compressed }))
}
