//! `calibrate` and `generate`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use forebay::cli::node_key;
use forebay::runtime::clock::UnixMicros;
use forebay_load::{generate, run};

use super::{Profile, duration};

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// How long to send
    #[arg(long, value_parser = duration, default_value = "5s")]
    duration: Duration,
    /// Connections, each with --pipeline requests at a time
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 1)]
    pipeline: u32,
    /// Threads of the connections
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Records in a request; 1 sends single events
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// Bytes of a record, about; 0 for the natural size
    #[arg(long, default_value_t = 0)]
    record_size: usize,
    /// Send the same to this server as well, and compare what it takes with what the generator does
    #[arg(long, value_name = "URL", requires = "server_pid")]
    url: Option<String>,
    /// Which of its streams takes the records [default: clickstream]
    #[arg(long, requires = "url")]
    stream: Option<String>,
    /// The server's process
    #[arg(long, value_name = "PID", requires = "url")]
    server_pid: Option<u32>,
    /// Write the cost as JSON to this file; - for standard output, in the place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl CalibrateArgs {
    pub fn plan(&self) -> run::Plan {
        run::Plan {
            duration: Some(self.duration),
            connections: self.connections,
            producers: self.connections.saturating_mul(self.pipeline),
            pipeline: self.pipeline,
            threads: self.threads,
            batch: self.batch,
            record_bytes: self.record_size,
            ..run::Plan::default()
        }
    }

    /// The same to the server that was named, if one was.
    pub fn against(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<run::Plan>, String> {
        let Some(url) = &self.url else { return Ok(None) };
        let plan = self.plan();
        Ok(Some(run::Plan {
            target: run::Target::parse(url).map_err(|error| error.to_string())?,
            authorization: node_key::authorization(env).map_err(|error| error.to_string())?,
            stream: self.stream.clone().unwrap_or_else(|| plan.stream.clone()),
            server_pid: self.server_pid,
            run_name: Utc::now().format("calibrate-%Y%m%dT%H%M%S%3f").to_string(),
            ..plan
        }))
    }
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What the records are about
    #[arg(long, value_enum)]
    profile: Profile,
    /// How many
    #[arg(long)]
    count: u64,
    /// Seed of the records
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of partition keys
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Skew of the keys: Zipf exponent, 0 for none
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Bytes of a record, about; 0 for the natural size
    #[arg(long, default_value_t = 0)]
    record_size: usize,
    /// Event time of the first record, RFC 3339
    #[arg(long, default_value = "2026-01-01T00:00:00Z")]
    start: DateTime<Utc>,
    /// Event time from record to record: 250ms, 1s
    #[arg(long, value_parser = duration, default_value = "250ms")]
    step: Duration,
}

impl GenerateArgs {
    pub fn plan(&self) -> Result<generate::Plan, String> {
        let step = self.step.as_micros().try_into().map_err(|_| "--step is too long".to_owned())?;
        Ok(generate::Plan {
            profile: self.profile.into(),
            count: self.count,
            seed: self.seed,
            keys: self.keys,
            zipf: self.zipf,
            record_bytes: self.record_size,
            start: UnixMicros(self.start.timestamp_micros()),
            step_micros: step,
        })
    }
}
