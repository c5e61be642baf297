//! What the connections and the test that has thrown the switches share.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rule::{Api, Fault, Rule};

/// Rules at a time.
const RULES_MAX: usize = 100;
/// Problems that are remembered.
const PROBLEMS_MAX: usize = 100;

/// What lies between the clients and the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Nothing that would be felt.
    #[default]
    Open,
    /// No way: connections are closed, and new ones refused.
    Cut,
    /// Connections are accepted and kept, but nothing passes. What was sent meanwhile passes afterwards.
    Stall,
    /// Each answer comes later by `latency`, and each connection passes so many bytes a second in each direction; 0 is
    /// any number.
    Slow {
        /// How much later.
        latency: Duration,
        /// How many bytes.
        bytes_per_second: u64,
    },
}

impl Link {
    pub(super) fn latency(self) -> Duration {
        if let Self::Slow { latency, .. } = self { latency } else { Duration::ZERO }
    }

    /// What so many bytes take.
    pub(super) fn time(self, bytes: usize) -> Duration {
        match self {
            Self::Slow { bytes_per_second, .. } if bytes_per_second > 0 => {
                Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64)
            }
            _ => Duration::ZERO,
        }
    }
}

/// A fault that strikes.
#[derive(Debug)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    pub(super) done_first: bool,
    pub(super) topic: Option<String>,
}

#[derive(Debug)]
pub(super) struct State {
    rules: Vec<Rule>,
    random: fastrand::Rng,
    counts: BTreeMap<i16, u64>,
    struck: u64,
    problems: Vec<String>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { rules: Vec::new(), random, counts: BTreeMap::new(), struck: 0, problems: Vec::new() }
    }

    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.retain(|rule| !rule.is_over());
        if self.rules.len() == RULES_MAX {
            self.rules.remove(0);
        }
        self.rules.push(rule);
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
    }

    pub(super) fn strike(&mut self, api: i16, request: &[u8]) -> Option<Strike> {
        let (api, random) = (Api::of(api)?, &mut self.random);
        let rule =
            self.rules.iter_mut().find_map(|rule| rule.strikes(api, request, random).then_some(rule))?;
        self.struck += 1;
        Some(Strike { fault: rule.fault, done_first: rule.done_first, topic: rule.topic.clone() })
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    pub(super) fn count(&mut self, api: i16) {
        *self.counts.entry(api).or_default() += 1;
    }

    pub(super) fn counted(&self, api: Api) -> u64 {
        self.counts.get(&(api as i16)).copied().unwrap_or_default()
    }

    pub(super) fn report(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}
