//! The options of `run` → what is done.

use std::time::Duration;

use chrono::Utc;
use forebay::cli::node_key;
use forebay::testkit::generators;
use forebay_load::ramp::Ramp;
use forebay_load::run::workload::Class;
use forebay_load::{chaos, run};

use super::{Compression, Mode, RunArgs};
use crate::cli::VerifyArgs;

impl RunArgs {
    /// What is done while the load goes on, if anything.
    pub fn chaos(&self) -> Option<chaos::Settings> {
        let settings = chaos::Settings {
            script: self.chaos.clone().unwrap_or_default(),
            server_command: self.server_command.clone(),
            server_log: self.server_log.clone(),
            stall_proxy: self.stall_proxy.clone(),
            freeze_pid: self.freeze_pid,
        };
        let is_asked = self.chaos.is_some() || self.server_command.is_some() || self.stall_proxy.is_some();
        is_asked.then_some(settings)
    }

    /// The lakes that are verified when the server has ended.
    pub fn lakes(&self) -> Option<VerifyArgs> {
        (!self.verify.is_empty()).then(|| VerifyArgs {
            lakes: self.verify.clone(),
            manifest: Vec::new(),
            endpoint: self.endpoint.clone(),
            key: self.key.clone(),
            errors: "errors".to_owned(),
            jobs: None,
            json: None,
        })
    }

    /// A plan with all steps of `--ramp`, if that is given.
    pub fn ramp(mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<Result<Ramp, run::Plan>, String> {
        let Some(from) = self.ramp else { return self.plan(env).map(Err) };
        let (factor, refine, rate_max) = (self.ramp_factor, self.ramp_refine, self.ramp_max);
        let (step, latency_max) = (self.ramp_step, self.ramp_latency);
        if !(factor > 1.0 && factor <= 100.0) {
            return Err(format!("--ramp-factor {factor} cannot be used: give more than 1, up to 100"));
        }
        self.rate = Some(from);
        let plan = self.plan(env)?;
        Ok(Ok(Ramp { plan, from, factor, step, latency_max, refine, rate_max }))
    }

    /// `env` looks up what must not stand in a command line.
    pub fn plan(self, env: &dyn Fn(&str) -> Option<String>) -> Result<run::Plan, String> {
        let mode = match (self.mode, self.rate) {
            (Some(Mode::Open) | None, Some(rate)) => run::Mode::Open { rate },
            (Some(Mode::Closed) | None, None) => run::Mode::Closed,
            (Some(Mode::Open), None) => return Err("--mode open needs a --rate in records a second".into()),
            (Some(Mode::Closed), Some(_)) => {
                return Err("--mode closed has no --rate: it is as fast as the replies".into());
            }
        };
        let profile: generators::Profile = self.profile.into();
        let has_end = self.records.is_some() || self.file.is_some();
        let source = match self.file {
            Some(path) => run::Source::File(path),
            None => run::Source::Profile(profile),
        };
        let trust = match self.ca {
            Some(path) => run::Trust::Ca(path),
            None if self.insecure => run::Trust::Everybody,
            None => run::Trust::System,
        };
        let mut plan = run::Plan {
            trust,
            credentials: credentials(env),
            mix: Vec::new(),
            taps: self.tap,
            tap_kind: self.tap_protocol,
            target: run::Target::parse(&self.url).map_err(|error| error.to_string())?,
            authorization: node_key::authorization(env).map_err(|error| error.to_string())?,
            stream: self.stream.unwrap_or_else(|| profile.name().to_owned()),
            source,
            file_part: self.file_part.unwrap_or(run::FilePart::WHOLE),
            mode,
            connections: self.connections,
            pipeline: self.pipeline,
            threads: self.threads,
            feeders: self.feeders,
            producers: self.producers.unwrap_or(self.connections.saturating_mul(self.pipeline)),
            duration: self.duration.or((!has_end).then_some(Duration::from_secs(10))),
            records: self.records,
            batch: self.batch,
            record_bytes: self.record_size,
            keys: self.keys,
            zipf: self.zipf,
            compression: match self.compression {
                Compression::None => run::Compression::None,
                Compression::Gzip => run::Compression::Gzip,
                Compression::Zstd => run::Compression::Zstd,
            },
            start_at: self.start_at,
            seed: self.seed,
            run_name: self.run_name.unwrap_or_else(|| Utc::now().format("%Y%m%dT%H%M%S%3f").to_string()),
            retry: self.retry.then_some(self.patience),
            idempotent: self.idempotent.unwrap_or(self.retry),
            timeout: self.timeout,
            server_pid: self.server_pid,
            followed_pid: None,
            settle: self.settle,
            metrics: self.metrics.as_deref().map(metrics_target).transpose()?,
        };
        plan.mix = match self.mix {
            Some(mix) => Class::parse_mix(&mix, &plan.whole()).map_err(|error| error.to_string())?,
            None => vec![Class { protocol: self.protocol, ..plan.whole() }],
        };
        Ok(plan)
    }
}

/// As SDKs of AWS find them; none means that requests are not signed.
fn credentials(env: &dyn Fn(&str) -> Option<String>) -> Option<run::Credentials> {
    Some(run::Credentials {
        key_id: env("AWS_ACCESS_KEY_ID")?,
        secret: env("AWS_SECRET_ACCESS_KEY")?,
        session_token: env("AWS_SESSION_TOKEN"),
        region: env("AWS_REGION")
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned()),
    })
}

/// Without a path it is the one that the server has.
fn metrics_target(url: &str) -> Result<run::Target, String> {
    let mut target = run::Target::parse(url).map_err(|error| error.to_string())?;
    if target.prefix.is_empty() {
        target.prefix = "/metrics".to_owned();
    }
    Ok(target)
}
