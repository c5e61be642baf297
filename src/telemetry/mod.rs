//! What operators see: metrics, logs, health.

pub mod access_log;
pub mod admin;
pub mod logging;
pub mod metrics;
pub mod process;
