//! Logs: once, structured, for operators.

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error: text on a terminal, JSON lines otherwise. `filter` has the form of
/// `tracing_subscriber`'s directives (`info`, `forebay=debug`); none means `info`.
pub fn start(filter: Option<&str>, json: bool) {
    let filter = EnvFilter::builder().parse_lossy(filter.unwrap_or("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call (tests do that) keeps the first subscriber.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
