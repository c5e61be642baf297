//! What was asked for, and where it was measured.

use std::fs;

use serde::{Deserialize, Serialize};

use super::super::plan::{Compression, Mode, Plan};
use super::parts::class_name;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the options of the same names say it")]
pub struct Settings {
    pub stream: String,
    pub source: String,
    pub mode: String,
    pub rate: Option<f64>,
    pub connections: u32,
    pub producers: u32,
    /// Requests that may be under way on a connection; 0 in records of before there were several.
    #[serde(default)]
    pub pipeline: u32,
    pub batch: u32,
    pub record_size: usize,
    pub keys: u32,
    pub zipf: f64,
    pub compression: String,
    pub seed: u64,
    pub run_name: String,
    pub retry_seconds: Option<f64>,
    pub idempotent: bool,
    /// Protocol, records of a request and bytes of a record of each part of the load.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Readers of the stream.
    #[serde(default)]
    pub taps: u32,
}

impl Settings {
    pub(in crate::run) fn of(plan: &Plan) -> Self {
        let (mode, rate) = match plan.mode {
            Mode::Open { rate } => ("open", Some(rate)),
            Mode::Closed => ("closed", None),
        };
        Self {
            stream: plan.stream.clone(),
            source: plan.source.name().to_owned(),
            mode: mode.to_owned(),
            rate,
            connections: plan.connections,
            producers: plan.producers,
            pipeline: plan.pipeline,
            batch: plan.batch,
            record_size: plan.record_bytes,
            keys: plan.keys,
            zipf: plan.zipf,
            compression: Compression::content_encoding(plan.compression).unwrap_or("none").to_owned(),
            seed: plan.seed,
            run_name: plan.run_name.clone(),
            retry_seconds: plan.retry.map(|retry| retry.as_secs_f64()),
            idempotent: plan.idempotent,
            parts: plan.classes().iter().map(class_name).collect(),
            taps: plan.taps,
        }
    }
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// What the first CPU calls itself.
    pub cpu_model: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
}

impl Machine {
    pub(in crate::run) fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: model.map(|(_, name)| name.trim().to_owned()),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        }
    }
}
