//! What is put on record: access log, audit log, request ids, traces and metrics for a collector; and that no secret is
//! in any of it.

mod audit;
mod collector;
mod logs;
mod otlp;
mod reloaded;
mod secrets;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::PATIENCE;

/// The lines of a log; each must be JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Waits until there is something.
async fn until<T>(otherwise: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{otherwise}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
