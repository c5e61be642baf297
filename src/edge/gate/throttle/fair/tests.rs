//! A server that takes a thousand bytes a step, and clients that send more.

use std::collections::VecDeque;

use super::*;
use crate::runtime::budget::Budget;

/// What the machine takes in a step of 10 ms.
const TAKEN_A_STEP: u64 = 1_000;
const STEP: Duration = Duration::from_millis(10);
const REQUEST: u64 = 10;

/// An account of the budget that is emptied at a steady pace, oldest bytes first.
struct Server {
    fair: Fair,
    budget: Arc<Budget>,
    held: VecDeque<Permit>,
    now: Instant,
}

/// What became of the requests of one tenant.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    admitted: u64,
    refused: u64,
}

impl Server {
    fn new() -> Self {
        let now = clock::monotonic();
        Self { fair: Fair::new(now), budget: Budget::new(64_000), held: VecDeque::new(), now }
    }

    fn send(&mut self, who: &Competitor) -> Result<(), Short> {
        let mut permit = self.budget.take_anyway(0);
        self.fair.admit_at(who, &mut permit, REQUEST, (|| self.now, |_, _| {}))?;
        self.held.push_back(permit);
        Ok(())
    }

    fn step(&mut self) {
        for _ in 0..TAKEN_A_STEP / REQUEST {
            self.held.pop_front();
        }
        self.now += STEP;
    }

    /// Each tenant sends so many requests a step, in an order that changes from step to step.
    fn run(&mut self, steps: u64, clients: &[(Competitor, u64)]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::default(); clients.len()];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..steps {
            let each = clients.iter().enumerate();
            let mut order: Vec<_> =
                each.flat_map(|(index, (_, count))| std::iter::repeat_n(index, *count as usize)).collect();
            random.shuffle(&mut order);
            for index in order {
                match self.send(&clients[index].0) {
                    Ok(()) => outcomes[index].admitted += 1,
                    Err(_) => outcomes[index].refused += 1,
                }
            }
            self.step();
        }
        outcomes
    }

    fn principal(&self, weight: u32) -> Competitor {
        Competitor::Principal(self.fair.principal(weight))
    }
}

/// Requests that the machine takes in a step.
const CAPACITY: u64 = TAKEN_A_STEP / REQUEST;

#[test]
fn below_saturation_nobody_is_limited() {
    let mut server = Server::new();
    let clients = [(server.principal(1), CAPACITY * 9 / 10), (server.principal(1), CAPACITY / 10)];
    for outcome in server.run(3_000, &clients) {
        assert_eq!(outcome.refused, 0);
    }
}

#[test]
fn a_noisy_tenant_at_ten_times_what_is_taken_does_not_starve_a_quiet_one() {
    for by_address in [false, true] {
        let mut server = Server::new();
        let tenant = |server: &Server, address| match by_address {
            true => Competitor::Client(ClientKey::V4(address), 1),
            false => server.principal(1),
        };
        let noisy = (tenant(&server, 1), CAPACITY * 10);
        let quiet = (tenant(&server, 2), CAPACITY / 10);
        // The noisy one fills everything before the other comes.
        server.run(200, std::slice::from_ref(&noisy));
        let outcomes = server.run(6_000, &[noisy, quiet]);
        assert_eq!(outcomes[1].refused, 0, "{outcomes:?}");
        let rest = 6_000 * CAPACITY * 9 / 10;
        assert!(outcomes[0].admitted > rest * 99 / 100, "what is left over is used: {outcomes:?} of {rest}");
    }
}

#[test]
fn greedy_tenants_share_by_their_weights() {
    let mut server = Server::new();
    let clients = [(server.principal(3), CAPACITY * 20), (server.principal(1), CAPACITY * 2)];
    server.run(1_000, &clients);
    let outcomes = server.run(4_000, &clients);
    let parts = outcomes[0].admitted as f64 / outcomes[1].admitted as f64;
    assert!((2.6..3.4).contains(&parts), "{parts}: {outcomes:?}");
    let all: u64 = outcomes.iter().map(|outcome| outcome.admitted).sum();
    assert!(all > 4_000 * CAPACITY * 99 / 100, "{all}: nothing is left lying");
}

#[test]
fn a_tenant_that_was_busy_a_minute_ago_counts_as_any_other() {
    let mut server = Server::new();
    let (one, other) = (server.principal(1), server.principal(1));
    server.run(1_000, &[(one.clone(), CAPACITY * 10)]);
    server.run(6_000, &[(other.clone(), CAPACITY)]);
    let both = [(one, CAPACITY * 2), (other, CAPACITY * 2)];
    server.run(1_000, &both);
    let outcomes = server.run(4_000, &both);
    let parts = outcomes[0].admitted as f64 / outcomes[1].admitted as f64;
    assert!((0.8..1.25).contains(&parts), "{outcomes:?}");
}

#[test]
fn what_is_freed_in_time_refuses_nobody() {
    let mut server = Server::new();
    let who = [server.principal(1), server.principal(1)];
    // All that is held is of no use to anybody, as records are that only taps might want.
    for count in 0..100_000 {
        let mut permit = server.budget.take_anyway(0);
        let held = &mut server.held;
        let free = |_, is_enough: &dyn Fn() -> bool| {
            while !is_enough() {
                held.pop_front();
            }
        };
        let admitted = server.fair.admit_at(&who[count % 2], &mut permit, REQUEST, (|| server.now, free));
        assert_eq!(admitted, Ok(()));
        server.held.push_back(permit);
    }
}

#[test]
fn who_is_alone_leaves_the_reserve_to_others_and_nobody_in_particular_takes_all() {
    let mut server = Server::new();
    let alone = server.principal(1);
    while server.send(&alone).is_ok() {}
    assert_eq!(server.send(&alone), Err(Short::Full));
    assert_eq!(server.budget.left(), server.budget.capacity() / RESERVE_DIVISOR);
    let newcomer = server.principal(1);
    assert_eq!(server.send(&newcomer), Ok(()));
    server.now += SUM_AGE_MAX;
    assert_eq!(server.send(&alone), Err(Short::OverFairPart));
    while server.send(&Competitor::Nobody).is_ok() {}
    assert_eq!(server.budget.left(), 0);
}

#[test]
fn a_flood_of_addresses_takes_no_more_room_than_the_table_has() {
    let mut server = Server::new();
    let busy = Competitor::Client(ClientKey::V6(1), 1);
    while server.send(&busy).is_ok() {}
    for address in 0..100_000 {
        let _ = server.send(&Competitor::Client(ClientKey::V4(address), 1));
    }
    let addresses = lock(&server.fair.addresses);
    assert_eq!((addresses.tenants.len(), addresses.places.len()), (FAIR_ADDRESSES_MAX, FAIR_ADDRESSES_MAX));
    assert!(addresses.places.contains_key(&ClientKey::V6(1)), "who has had most stays");
    assert!(addresses.places.iter().all(|(key, &place)| addresses.tenants[place].0 == *key));
}
