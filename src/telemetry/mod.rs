//! What operators see: metrics, logs, health.

pub mod access_log;
pub mod admin;
pub mod audit;
pub mod lines;
pub mod logging;
pub mod metrics;
pub mod observer;
pub mod otlp;
pub mod process;
pub mod request_id;
pub mod text;
pub mod trace;
