//! `[telemetry]` of `forebay.toml`: raw → checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check_function::{check_headers, check_url};
use super::checker::Checker;
use super::limits::{DURATION_MAX, OTLP_HEADERS_MAX};
use super::secret::Secret;

/// `[telemetry]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryTable {
    /// A collector that traces and metrics are told to, by OTLP over HTTP. Default: none.
    pub otlp: Option<OtlpTable>,
}

/// `otlp` of `[telemetry]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpTable {
    /// Its address, without `/v1/traces`: `http://` or `https://`.
    #[schemars(required, example = &"http://127.0.0.1:4318")]
    pub endpoint: Option<Secret>,
    /// Headers of each request, such as one that lets it in.
    #[schemars(extend("examples" = [{ "Authorization": "${OTLP_TOKEN}" }]))]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// The part of the traces that begin here which are told, from 0 to 1. Of those that begin elsewhere their beginning
    /// decides. Default: 0.01.
    #[schemars(range(min = 0.0, max = 1.0), example = 0.01)]
    pub traces_sample: Option<f64>,
    /// How often metrics are told; `0s` is never. Default: `60s`.
    #[schemars(example = &"60s")]
    pub metrics_interval: Option<String>,
    /// How long a request may take. Default: `10s`.
    #[schemars(example = &"10s")]
    pub timeout: Option<String>,
}

/// A collector.
#[derive(Clone, PartialEq)]
pub struct Otlp {
    /// Where traces are posted to. May hold a secret: only its host is printed.
    pub traces_url: Url,
    /// Where metrics are posted to. The same holds.
    pub metrics_url: Url,
    /// Headers of each request. May hold secrets: never printed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The part of the traces that begin here which are told.
    pub traces_sample: f64,
    /// How often metrics are told, if they are.
    pub metrics_interval: Option<Duration>,
    /// How long a request may take.
    pub timeout: Duration,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp")
            .field("host", &self.traces_url.host_str())
            .field("traces_sample", &self.traces_sample)
            .field("metrics_interval", &self.metrics_interval)
            .finish_non_exhaustive()
    }
}

const ENDPOINT_HELP: &str = "write endpoint = \"http://127.0.0.1:4318\" or another address";

/// `[telemetry] otlp`; `Some(None)` where there is none.
pub(super) fn check_telemetry(
    table: Option<TelemetryTable>,
    checker: &mut Checker<'_>,
) -> Option<Option<Otlp>> {
    let Some(table) = table.and_then(|table| table.otlp) else { return Some(None) };
    let endpoint = checker.required("telemetry.otlp.endpoint", table.endpoint, ENDPOINT_HELP);
    let urls = endpoint.and_then(|endpoint| check_endpoint(&endpoint, checker));
    let headers = table.headers.unwrap_or_default();
    let headers = check_headers(headers, "telemetry.otlp.headers", OTLP_HEADERS_MAX, checker);
    let traces_sample = checker.fraction("telemetry.otlp.traces_sample", table.traces_sample, 0.01);
    let minute = Duration::from_secs(60);
    let interval = table.metrics_interval.as_deref();
    let interval = checker.duration_up_to("telemetry.otlp.metrics_interval", interval, minute, DURATION_MAX);
    let timeout = table.timeout.as_deref();
    let timeout = checker.duration("telemetry.otlp.timeout", timeout, Duration::from_secs(10));
    let (traces_url, metrics_url) = urls?;
    Some(Some(Otlp {
        traces_url,
        metrics_url,
        headers: headers?,
        traces_sample: traces_sample?,
        metrics_interval: Some(interval?).filter(|interval| !interval.is_zero()),
        timeout: timeout?,
    }))
}

fn check_endpoint(endpoint: &Secret, checker: &mut Checker<'_>) -> Option<(Url, Url)> {
    let url = check_url(endpoint, "telemetry.otlp.endpoint", ENDPOINT_HELP, checker)?;
    let of = |signal: &str| {
        let mut url = url.clone();
        let path = format!("{}/v1/{signal}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    };
    Some((of("traces"), of("metrics")))
}
