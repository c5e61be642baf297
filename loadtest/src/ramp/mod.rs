//! `--ramp`: the rate is raised step by step until the server cannot keep up, and the knee is found.
//!
//! A step is an open-loop run at one rate. It is *sustained* if
//!
//! - at least [`ACKED_SHARE`] of the rate was acked, counted until the last reply,
//! - no request failed for good, and
//! - the 99th percentile of the latency is at most the limit.
//!
//! Rates grow by a factor until a step is not sustained; then the gap between the best sustained rate and the worst
//! that is not is halved (in ratio) a few times. **The knee is the highest sustained rate.** A step that was late for
//! the load generator's own sake (requests that waited for a body, or were sent late by more than half of the limit) is
//! told as such: then the knee is the generator's, not the server's.

mod show;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::join::{self, JoinError, Order};
use crate::manifest::Manifest;
use crate::record::{Mark, Record};
use crate::run::report::Report;
use crate::run::{Mode, Outcome, Plan, Progress};

/// Share of the rate that has to be acked. The last reply comes a little after the last request.
pub const ACKED_SHARE: f64 = 0.97;

/// Steps of a ramp. With a factor of 1.25, 64 of them raise the rate by a million.
pub const STEPS_MAX: usize = 64;

/// A step that lasts so many times longer than planned is ended: the server is far behind.
const OVERTIME: f64 = 1.5;

/// What a ramp is asked to do.
#[derive(Debug, Clone)]
pub struct Ramp {
    /// What each step does, but for its rate and length.
    pub plan: Plan,
    /// Records a second of the first step.
    pub from: f64,
    /// Each rate is so many times the one before; above 1.
    pub factor: f64,
    /// How long a step is.
    pub step: Duration,
    /// What p99 may be.
    pub latency_max: Duration,
    /// How often the gap around the knee is halved.
    pub refine: u32,
    /// No step is faster.
    pub rate_max: f64,
}

/// Why a step was not sustained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Too few records were acked.
    Throughput,
    /// p99 is above its limit.
    Latency,
    /// Requests failed for good.
    Failures,
    /// The load generator could not keep up.
    Generator,
    /// The run was ended while it lasted, so that nothing can be said about it.
    Ended,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Records a second that were asked for.
    pub rate: f64,
    /// Why it was not sustained.
    pub limit: Option<Limit>,
    /// What was measured.
    pub report: Report,
}

/// What a ramp found.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// In the order in which they were made.
    pub steps: Vec<Step>,
    /// The highest sustained rate, in records a second; none if no step was sustained.
    pub knee: Option<f64>,
    /// Whether a higher rate was tried and not sustained.
    pub is_saturated: bool,
    /// Whether it was ended before all was tried.
    pub is_ended: bool,
    /// Records of all steps; none if there was no step.
    #[serde(skip)]
    pub manifest: Option<Manifest>,
    /// All steps behind each other; none if there was no step.
    #[serde(skip)]
    pub record: Option<Record>,
}

/// Why a ramp has no end.
#[derive(Debug, Error)]
pub enum RampError<E: std::error::Error> {
    /// A step could not be made.
    #[error(transparent)]
    Step(E),
    /// What the steps have left behind cannot be put together.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// What makes a step: [`crate::run::run`], or several processes that do.
pub trait Runner {
    /// Why it cannot.
    type Error: std::error::Error;

    /// Does what `plan` says, until `stop` is set; calls the observer several times a second.
    fn run(
        &mut self,
        plan: &Plan,
        stop: Arc<AtomicBool>,
        observer: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, Self::Error>;
}

/// Raises the rate until the server cannot keep up, or `stop` is set.
pub fn ramp<R: Runner>(
    ramp: &Ramp,
    runner: &mut R,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(f64, Progress),
    told: &mut dyn FnMut(&Step),
) -> Result<Found, RampError<R::Error>> {
    let mut found = Found::default();
    let (mut manifests, mut records) = (Vec::new(), Vec::new());
    let mut search = Search::new(ramp);
    while let Some(rate) = search.next() {
        found.is_ended = stop.load(Ordering::Relaxed);
        if found.is_ended || found.steps.len() == STEPS_MAX {
            break;
        }
        let outcome = step(ramp, runner, found.steps.len(), rate, stop, observer).map_err(RampError::Step)?;
        found.is_ended = stop.load(Ordering::Relaxed);
        let limit = match found.is_ended {
            true => Some(Limit::Ended),
            false => limit(&outcome.report, rate, ramp.latency_max),
        };
        let step = Step { rate, limit, report: outcome.report };
        told(&step);
        found.steps.push(step);
        manifests.push(outcome.manifest);
        let mut record = outcome.record;
        record.marks.push(Mark { at: 0.0, text: format!("{rate:.0}/s") });
        records.push(record);
        if found.is_ended {
            break;
        }
        search.tell(rate, limit.is_none());
    }
    found.knee = search.sustained;
    found.is_saturated = search.failed.is_some();
    if !records.is_empty() {
        found.manifest = Some(join::manifests(manifests)?);
        found.record = Some(join::records(records, Order::InTurn)?);
    }
    Ok(found)
}

fn step<R: Runner>(
    ramp: &Ramp,
    runner: &mut R,
    index: usize,
    rate: f64,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn FnMut(f64, Progress),
) -> Result<Outcome, R::Error> {
    let plan = Plan {
        mode: Mode::Open { rate },
        duration: Some(ramp.step),
        records: None,
        run_name: format!("{}.{index}", ramp.plan.run_name),
        ..ramp.plan.clone()
    };
    let end = Arc::new(AtomicBool::new(false));
    let (user, of_step) = (Arc::clone(stop), Arc::clone(&end));
    runner.run(&plan, end, &mut |progress| {
        let is_far_behind = progress.elapsed > ramp.step.mul_f64(OVERTIME);
        of_step.fetch_or(is_far_behind || user.load(Ordering::Relaxed), Ordering::Relaxed);
        observer(rate, progress);
    })
}

/// What kept a step from being sustained.
fn limit(report: &Report, rate: f64, latency_max: Duration) -> Option<Limit> {
    let allowed_ms = latency_max.as_secs_f64() * 1e3;
    let is_slow = report.records.acked_per_second < rate * ACKED_SHARE;
    let is_late = report.latency_ms.p99 > allowed_ms;
    if report.requests.failed > 0 {
        return Some(Limit::Failures);
    }
    let waited = report.requests.starved as f64 > report.requests.total as f64 / 100.0;
    let is_own_fault = waited || report.pacing_ms.p99 > allowed_ms / 2.0;
    match (is_slow, is_late) {
        (false, false) => None,
        _ if is_own_fault => Some(Limit::Generator),
        (true, _) => Some(Limit::Throughput),
        (false, true) => Some(Limit::Latency),
    }
}

/// Which rate is next.
#[derive(Debug)]
struct Search {
    next: Option<f64>,
    factor: f64,
    rate_max: f64,
    refine: u32,
    sustained: Option<f64>,
    failed: Option<f64>,
}

impl Search {
    fn new(ramp: &Ramp) -> Self {
        let next = Some(ramp.from.min(ramp.rate_max));
        let (factor, rate_max, refine) = (ramp.factor, ramp.rate_max, ramp.refine);
        Self { next, factor, rate_max, refine, sustained: None, failed: None }
    }

    fn next(&self) -> Option<f64> {
        self.next
    }

    fn tell(&mut self, rate: f64, is_sustained: bool) {
        if is_sustained {
            self.sustained = Some(self.sustained.map_or(rate, |best| best.max(rate)));
        } else {
            self.failed = Some(self.failed.map_or(rate, |worst| worst.min(rate)));
        }
        self.next = match (self.sustained, self.failed) {
            // Even the first was too fast: there is no knee to be found above it.
            (None, _) => None,
            (Some(best), None) if best >= self.rate_max => None,
            (Some(best), None) => Some((best * self.factor).min(self.rate_max)),
            (Some(best), Some(worst)) => {
                let is_left = self.refine > 0;
                self.refine = self.refine.saturating_sub(1);
                is_left.then(|| (best * worst).sqrt())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Account;
    use crate::record::{Metrics, RECORD_FORMAT, RECORD_VERSION, TapTimes};
    use crate::spread::Spread;

    fn search(from: f64, rate_max: f64, refine: u32, server: f64) -> (Search, Vec<f64>) {
        let mut search = Search::new(&Ramp { refine, rate_max, ..settings(from) });
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.tell(rate, rate <= server);
        }
        (search, tried)
    }

    #[test]
    fn rates_double_until_one_is_too_fast_and_then_close_in_on_the_knee() {
        let (found, tried) = search(100.0, 1e9, 6, 1_000.0);
        assert_eq!(tried[..5], [100.0, 200.0, 400.0, 800.0, 1_600.0]);
        assert_eq!(tried.len(), 11);
        let knee = found.sustained.unwrap();
        assert!((985.0..=1_000.0).contains(&knee) && found.failed.unwrap() > 1_000.0, "{knee}");
    }

    #[test]
    fn a_server_that_is_never_saturated_has_no_end_but_the_one_that_was_asked_for() {
        let (found, tried) = search(100.0, 1_000.0, 3, 1e9);
        assert_eq!(tried, [100.0, 200.0, 400.0, 800.0, 1_000.0]);
        assert_eq!((found.sustained, found.failed), (Some(1_000.0), None));
        assert_eq!(search(100.0, 1e9, 3, 50.0).1, [100.0]);
    }

    /// Acks at most so many records a second, and says so without a clock.
    struct Limited(f64);

    impl Runner for Limited {
        type Error = std::convert::Infallible;

        fn run(
            &mut self,
            plan: &Plan,
            _: Arc<AtomicBool>,
            observer: &mut dyn FnMut(Progress),
        ) -> Result<Outcome, Self::Error> {
            observer(Progress::default());
            let Mode::Open { rate } = plan.mode else { panic!("a step has a rate") };
            let mut report = crate::run::report::tests::report();
            report.seconds = 1.0;
            report.records.acked = rate.min(self.0) as u64;
            report.records.acked_per_second = rate.min(self.0);
            let account = Account { producer: plan.run_name.clone(), ..Account::default() };
            let manifest = Manifest { producers: vec![account], ..Manifest::default() };
            let record = Record {
                format: RECORD_FORMAT.into(),
                version: RECORD_VERSION,
                started_at: "2026-01-01T00:00:00Z".into(),
                report: report.clone(),
                interval_seconds: 1,
                intervals: vec![],
                percentiles: vec![],
                latency_us: Spread::default(),
                service_us: Spread::default(),
                pacing_us: Spread::default(),
                taps: TapTimes::default(),
                server: vec![],
                metrics: Metrics::default(),
                marks: vec![],
            };
            Ok(Outcome { report, manifest, record })
        }
    }

    fn settings(from: f64) -> Ramp {
        Ramp {
            plan: Plan::default(),
            from,
            factor: 2.0,
            step: Duration::from_secs(1),
            latency_max: Duration::from_millis(100),
            refine: 1,
            rate_max: 1e9,
        }
    }

    #[test]
    fn the_knee_of_a_server_is_found_with_all_that_its_steps_have_left_behind() {
        let mut told = 0;
        let mut find = |from: f64| {
            ramp(&settings(from), &mut Limited(500.0), &Arc::default(), &mut |_, _| {}, &mut |_| told += 1)
                .unwrap()
        };
        let found = find(100.0);
        let steps: Vec<_> = found.steps.iter().map(|step| (step.rate.round(), step.limit)).collect();
        let slow = Some(Limit::Throughput);
        assert_eq!(steps, [(100.0, None), (200.0, None), (400.0, None), (800.0, slow), (566.0, slow)]);
        assert_eq!((found.knee, found.is_saturated), (Some(400.0), true));
        assert_eq!(found.manifest.unwrap().producers.len(), 5);
        assert_eq!(found.record.unwrap().report.records.acked, 100 + 200 + 400 + 500 + 500);
        assert_eq!(find(600.0).knee, None);
        assert_eq!(told, 6);
    }

    #[test]
    fn a_step_that_was_ended_says_nothing_about_the_knee_and_keeps_what_it_has_sent() {
        for (steps, knee, told) in
            [(1, None, "before a step was sustained"), (3, Some(200.0), "200 records/s or")]
        {
            let (stop, mut rest) = (Arc::<AtomicBool>::default(), steps);
            let mut observed = |_: f64, _: Progress| {
                rest -= 1;
                stop.store(rest == 0, Ordering::Relaxed);
            };
            let found =
                ramp(&settings(100.0), &mut Limited(500.0), &stop, &mut observed, &mut |_| {}).unwrap();
            assert_eq!((found.knee, found.is_saturated, found.is_ended), (knee, false, true));
            assert_eq!(found.steps.last().unwrap().limit, Some(Limit::Ended));
            assert_eq!(found.manifest.as_ref().unwrap().producers.len(), steps);
            assert!(found.sentence().contains(told), "{}", found.sentence());
        }
    }

    #[test]
    fn what_ends_a_step_is_told_by_its_cause() {
        let mut report = crate::run::report::tests::report();
        report.records.acked_per_second = 98.0;
        report.requests.total = 1_000;
        report.latency_ms.p99 = 99.0;
        let told = |report: &Report| limit(report, 100.0, Duration::from_millis(100));
        assert_eq!(told(&report), None);
        report.latency_ms.p99 = 101.0;
        assert_eq!(told(&report), Some(Limit::Latency));
        report.records.acked_per_second = 90.0;
        assert_eq!(told(&report), Some(Limit::Throughput));
        report.requests.starved = 11;
        assert_eq!(told(&report), Some(Limit::Generator));
        report.requests.failed = 1;
        assert_eq!(told(&report), Some(Limit::Failures));
    }
}
