//! Metrics of requests by route and status.

use std::sync::OnceLock;

use metrics::{Counter, Histogram};

use super::path::{ROUTES, Route};
use crate::edge::problem::Problem;
use crate::telemetry::metrics::Registry;

/// Status codes that the edge answers with; the last stands for any other.
const CODES: [u16; 19] =
    [101, 200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 0];

/// Handles of the request metrics, made when they are first needed.
pub struct RouteMetrics {
    registry: Registry,
    requests: Box<[OnceLock<Counter>]>,
    durations: [OnceLock<Histogram>; ROUTES],
    refused: [OnceLock<Counter>; Problem::CODES.len()],
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteMetrics").finish_non_exhaustive()
    }
}

impl RouteMetrics {
    /// None made yet.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            requests: (0..ROUTES * CODES.len()).map(|_| OnceLock::new()).collect(),
            durations: std::array::from_fn(|_| OnceLock::new()),
            refused: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Counters of records that one way in has accepted and refused.
    pub fn stage_records(&self, stream: &str, stage: &str) -> [Counter; 2] {
        ["accepted", "rejected"].map(|verdict| self.registry.stage_records(stream, stage, verdict))
    }

    pub(super) fn refuse(&self, code: &'static str) {
        if let Some(index) = Problem::CODES.iter().position(|&known| known == code) {
            self.refused[index].get_or_init(|| self.registry.ingest_refused(code)).increment(1);
        }
    }

    pub(super) fn observe(&self, route: Route<'_>, status: u16, seconds: f64) {
        let (route, name) = (route.index(), route.name());
        let code = CODES.iter().position(|&code| code == status).unwrap_or(CODES.len() - 1);
        let slot = &self.requests[route * CODES.len() + code];
        slot.get_or_init(|| self.registry.http_requests(name, CODES[code])).increment(1);
        self.durations[route].get_or_init(|| self.registry.http_duration(name)).record(seconds);
    }
}
