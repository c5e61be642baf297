//! Charges over several levels, in any order of steps.

use metrics::Counter;
use proptest::prelude::*;

use super::*;
use crate::config::checked::{Allowance, Limit, Period, Quota, Rate, Rates};
use crate::edge::gate::throttle::measure::Measure;
use crate::runtime::clock::{self, UnixMicros};

const RATES: Rates = Rates {
    requests: None,
    records: Some(Rate { a_second: 100, burst: 200 }),
    bytes: Some(Rate { a_second: 1_000, burst: 1_000 }),
};

fn account(level: Level, rates: Rates, quota: Option<u64>) -> Arc<Account> {
    let quota = quota.map(|records| Quota { records: Some(records), bytes: None, period: Period::Day });
    let allowance = Allowance { limit: Limit { ingest: rates, tap: rates }, quota, weight: 1 };
    Account::new(
        level,
        allowance,
        (Counter::noop(), Counter::noop()),
        Moment { now: start(), wall: UnixMicros(0) },
    )
}

fn start() -> Instant {
    thread_local!(static START: Instant = clock::monotonic() + Duration::from_secs(1_000));
    START.with(|start| *start)
}

fn at(micros: u64) -> Moment {
    Moment { now: start() + Duration::from_micros(micros), wall: UnixMicros(micros as i64) }
}

fn held(accounts: &[&Arc<Account>]) -> AllHeld {
    let mut held = AllHeld::default();
    for account in accounts {
        held[account.level().index()] = Some(Held::Account(Arc::clone(account)));
    }
    held
}

fn cost(records: u64, bytes: u64) -> Cost {
    Cost { requests: 1, records, bytes }
}

fn left(account: &Account, measure: Measure, at: Moment) -> u64 {
    let too_much = match measure {
        Measure::Requests => Cost { requests: u64::MAX, ..Cost::default() },
        Measure::Records => Cost { records: u64::MAX, ..Cost::default() },
        Measure::Bytes => Cost { bytes: u64::MAX, ..Cost::default() },
    };
    // A full bucket gives whatever it is asked for.
    let rate = measure.rate(&RATES).unwrap();
    account.lock().check(Flow::Ingest, too_much, at).map_or(rate.burst, |short| short.left)
}

fn principal() -> Level {
    Level::Principal("a".into())
}

#[test]
fn nothing_is_taken_anywhere_unless_all_levels_have_it() {
    let (one, all) = (account(principal(), RATES, None), account(Level::Global, RATES, None));
    all.lock().spend(Flow::Ingest, cost(200, 0), at(0));
    let refusal = Charge::take(held(&[&one, &all]), Flow::Ingest, cost(1, 10), at(0)).unwrap_err();
    assert_eq!(refusal.to_string(), "global: records_per_second");
    assert_eq!((left(&one, Measure::Records, at(0)), left(&one, Measure::Bytes, at(0))), (200, 1_000));
    assert_eq!(left(&all, Measure::Bytes, at(0)), 1_000);
}

#[test]
fn the_wait_is_that_of_the_level_that_takes_longest() {
    let (one, all) = (account(principal(), RATES, None), account(Level::Global, RATES, None));
    one.lock().spend(Flow::Ingest, cost(200, 0), at(0));
    all.lock().spend(Flow::Ingest, cost(0, 3_000), at(0));
    let refused = |at| Charge::take(held(&[&one, &all]), Flow::Ingest, cost(1, 500), at).unwrap_err();
    let refusal = refused(at(0));
    assert_eq!(refusal.to_string(), "global: bytes_per_second");
    assert_eq!(refusal.wait(), Duration::from_millis(2_500));
    assert_eq!(refused(at(2_499_999)).wait(), Duration::from_micros(1));
    assert!(Charge::take(held(&[&one, &all]), Flow::Ingest, cost(1, 500), at(2_500_000)).is_ok());
}

#[test]
fn a_full_bucket_lets_any_single_request_in_and_it_is_owed_then() {
    let one = account(principal(), RATES, None);
    let mut charge = Charge::take(held(&[&one]), Flow::Ingest, cost(1, 100_000), at(0)).unwrap();
    charge.settle_at(cost(10_000, 200_000), Used::default(), at(0)).unwrap();
    let refusal = Charge::take(held(&[&one]), Flow::Ingest, cost(1, 0), at(0)).unwrap_err();
    assert_eq!(refusal.wait(), Duration::from_secs(199));
}

#[test]
fn who_comes_to_a_level_that_owes_gets_everything_back() {
    let (one, all) = (account(principal(), RATES, None), account(Level::Global, RATES, None));
    let take = |accounts: &[&Arc<Account>]| Charge::take(held(accounts), Flow::Ingest, cost(1, 10), at(0));
    let (mut first, mut second) = (take(&[&all]).unwrap(), take(&[&one, &all]).unwrap());
    first.settle_at(cost(300, 10), Used::default(), at(0)).unwrap();
    let refusal = second.settle_at(cost(5, 20), Used::default(), at(0)).unwrap_err();
    assert_eq!(refusal.to_string(), "global: records_per_second");
    assert_eq!((left(&one, Measure::Records, at(0)), left(&one, Measure::Bytes, at(0))), (200, 1_000));
    // One record was that of the second.
    assert_eq!(all.lock().owed_for(Flow::Ingest, at(0).now), Some(Duration::from_millis(1_000)));
}

#[test]
fn a_request_that_costs_less_than_its_head_told_gets_the_rest_back() {
    let one = account(principal(), RATES, None);
    let mut charge = Charge::take(held(&[&one]), Flow::Ingest, cost(1, 900), at(0)).unwrap();
    charge.settle_at(cost(1, 400), Used::default(), at(0)).unwrap();
    assert_eq!(left(&one, Measure::Bytes, at(0)), 600);
    charge.refund_at(at(0));
    assert_eq!((left(&one, Measure::Records, at(0)), left(&one, Measure::Bytes, at(0))), (200, 1_000));
}

#[test]
fn a_quota_counts_what_is_kept_and_nothing_else() {
    let one = account(principal(), Rates::default(), Some(100));
    let used = || one.usage(UnixMicros(0)).unwrap().used().records;
    let take = || Charge::take(held(&[&one]), Flow::Ingest, cost(1, 10), at(0));
    let kept = |records| Used { records, bytes: 10 };
    take().unwrap().settle_at(cost(60, 10), kept(50), at(0)).unwrap();
    assert_eq!(used(), 50);
    take().unwrap().end_at(at(0));
    assert_eq!(used(), 50, "a request that was wrong");
    let mut failed = take().unwrap();
    failed.settle_at(cost(40, 10), kept(40), at(0)).unwrap();
    assert_eq!(used(), 90);
    failed.refund_at(at(0));
    assert_eq!(used(), 50, "one that the server could not take");
    let refusal = take().unwrap().settle_at(cost(51, 10), kept(51), at(0)).unwrap_err();
    assert_eq!((refusal.to_string().as_str(), used()), ("principal a: quota.records", 50));
    take().unwrap().settle_at(cost(50, 10), kept(50), at(0)).unwrap();
    assert!(take().unwrap_err().is_quota());
    assert!(Charge::take(held(&[&one]), Flow::Tap, Cost::READ, at(0)).is_ok(), "reading is no matter of it");
}

#[test]
fn a_level_that_is_known_late_joins_or_all_is_given_back() {
    let (one, stream) = (account(principal(), RATES, None), account(Level::Stream("s".into()), RATES, None));
    let mut charge = Charge::take(held(&[&one]), Flow::Ingest, cost(7, 10), at(0)).unwrap();
    charge.join(Some(Held::Account(Arc::clone(&stream)))).unwrap();
    assert_eq!(left(&stream, Measure::Records, at(0)), 193);
    stream.lock().spend(Flow::Ingest, cost(1_000_000, 0), at(0));
    let mut charge = Charge::take(held(&[]), Flow::Ingest, cost(7, 10), at(0)).unwrap();
    assert_eq!(
        charge.join(Some(Held::Account(Arc::clone(&stream)))).unwrap_err().to_string(),
        "stream s: records_per_second"
    );
    charge.settle(cost(9, 9), Used::default()).unwrap();
}

#[test]
fn a_reader_owes_what_it_was_given_and_waits_until_that_is_paid() {
    let one = account(principal(), RATES, None);
    let mut charge = Charge::take(held(&[&one]), Flow::Tap, Cost::READ, Moment::of_clock(false)).unwrap();
    assert_eq!(charge.owed_for(), None);
    charge.owe(1_000_200, 0);
    let owed = charge.owed_for().unwrap();
    assert!(owed <= Duration::from_secs(10_000) && owed > Duration::from_secs(5_000), "{owed:?}");
    assert!(Charge::take(held(&[&one]), Flow::Tap, Cost::READ, Moment::of_clock(false)).is_err());
    assert!(Charge::take(held(&[&one]), Flow::Ingest, cost(1, 1), Moment::of_clock(false)).is_ok());
}

/// A step of one of several clients.
#[derive(Debug, Clone)]
enum Step {
    Take { levels: u8, records: u64, bytes: u64 },
    Settle { nth: prop::sample::Index, records: u64, bytes: u64 },
    Refund { nth: prop::sample::Index },
    Drop { nth: prop::sample::Index },
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let nth = any::<prop::sample::Index>;
    let step = prop_oneof![
        4 => (1_u8..8, 0_u64..300, 0_u64..2_500)
            .prop_map(|(levels, records, bytes)| Step::Take { levels, records, bytes }),
        3 => (nth(), 0_u64..600, 0_u64..3_000)
            .prop_map(|(nth, records, bytes)| Step::Settle { nth, records, bytes }),
        1 => nth().prop_map(|nth| Step::Refund { nth }),
        1 => nth().prop_map(|nth| Step::Drop { nth }),
    ];
    prop::collection::vec((0_u64..400_000, step), 1..80)
}

/// Something that was given, when, and by which levels; not any more where it was given back.
struct Given {
    micros: u64,
    levels: u8,
    cost: Cost,
}

/// Clients with charges at three levels.
struct World {
    accounts: [Arc<Account>; 3],
    open: Vec<(Charge, Vec<usize>)>,
    given: Vec<Given>,
    largest: Cost,
}

impl World {
    fn new() -> Self {
        let stream = Level::Stream("s".into());
        let accounts = [principal(), stream, Level::Global].map(|level| account(level, RATES, None));
        Self { accounts, open: Vec::new(), given: Vec::new(), largest: Cost::default() }
    }

    fn give(&mut self, micros: u64, levels: u8, cost: Cost) -> usize {
        let Cost { records, bytes, .. } = cost;
        self.largest.records = self.largest.records.max(records);
        self.largest.bytes = self.largest.bytes.max(bytes);
        self.given.push(Given { micros, levels, cost });
        self.given.len() - 1
    }

    fn take_back(&mut self, places: &[usize]) {
        places.iter().for_each(|&place| self.given[place].cost = Cost::default());
    }

    fn step(&mut self, micros: u64, step: &Step) {
        match step {
            Step::Take { levels, records, bytes } => {
                let of = (0..3).filter(|bit| levels & 1 << bit != 0).map(|bit| &self.accounts[bit]);
                let all = held(&of.collect::<Vec<_>>());
                let cost = cost(*records, *bytes);
                if let Ok(charge) = Charge::take(all, Flow::Ingest, cost, at(micros)) {
                    let place = self.give(micros, *levels, cost);
                    self.open.push((charge, vec![place]));
                }
            }
            _ if self.open.is_empty() => {}
            Step::Settle { nth, records, bytes } => self.settle(nth, cost(*records, *bytes), micros),
            Step::Refund { nth } => {
                let (mut charge, places) = self.open.swap_remove(nth.index(self.open.len()));
                charge.refund_at(at(micros));
                self.take_back(&places);
            }
            Step::Drop { nth } => drop(self.open.swap_remove(nth.index(self.open.len()))),
        }
    }

    fn settle(&mut self, nth: &prop::sample::Index, actual: Cost, micros: u64) {
        let (mut charge, mut places) = self.open.swap_remove(nth.index(self.open.len()));
        if charge.stage != Stage::Announced {
            self.open.push((charge, places));
            return;
        }
        let Given { levels, cost: taken, .. } = self.given[places[0]];
        if charge.settle_at(actual, Used::default(), at(micros)).is_err() {
            self.take_back(&places);
            return;
        }
        self.largest.records = self.largest.records.max(actual.records);
        self.largest.bytes = self.largest.bytes.max(actual.bytes);
        // What it costs more is given now, and what it costs less was never given.
        let more = Cost {
            requests: 0,
            records: actual.records.saturating_sub(taken.records),
            bytes: actual.bytes.saturating_sub(taken.bytes),
        };
        self.given[places[0]].cost.records = taken.records.min(actual.records);
        self.given[places[0]].cost.bytes = taken.bytes.min(actual.bytes);
        places.push(self.give(micros, levels, more));
        self.open.push((charge, places));
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (level, measure) in (0..3).flat_map(|level| [(level, Measure::Records), (level, Measure::Bytes)])
        {
            let rate = measure.rate(&RATES).unwrap();
            let given: Vec<_> = self.given.iter().filter(|given| given.levels & 1 << level != 0).collect();
            for first in 0..given.len() {
                let mut sum = 0;
                for last in &given[first..] {
                    sum += measure.of(last.cost);
                    let filled = (rate.a_second * (last.micros - given[first].micros)).div_ceil(1_000_000);
                    let most = filled + rate.burst + measure.of(self.largest);
                    prop_assert!(sum <= most, "{measure:?} of level {level}: {sum} of {most}");
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_level_gives_more_than_its_rate_its_burst_and_one_request(steps in steps()) {
        let (mut world, mut micros) = (World::new(), 0);
        for (pause, step) in &steps {
            micros += pause;
            world.step(micros, step);
        }
        world.check()?;
    }

    #[test]
    fn after_the_wait_that_is_told_the_same_is_let_in(
        spent in prop::collection::vec((0_u64..3, 0_u64..2_000, 0_u64..9_000), 1..9),
        records in 1_u64..3_000,
        bytes in 0_u64..9_000,
    ) {
        let world = World::new();
        for (level, records, bytes) in spent {
            world.accounts[level as usize].lock().spend(Flow::Ingest, cost(records, bytes), at(0));
        }
        let all = || held(&world.accounts.iter().collect::<Vec<_>>());
        let take = |at| Charge::take(all(), Flow::Ingest, cost(records, bytes), at);
        if let Err(refusal) = take(at(0)) {
            let wait = u64::try_from(refusal.wait().as_micros()).unwrap();
            prop_assert!(take(at(wait - 1)).is_err());
            prop_assert!(take(at(wait)).is_ok());
        }
    }
}
