mod chance;
mod promises;
mod world;

use proptest::prelude::*;

use self::world::{END, World};
use super::*;
use crate::runtime::clock;

fn simulated(seed: u64) -> World {
    let mut world = World::new(seed, Times::STANDARD, Times::STANDARD);
    world.run();
    world
}

#[test]
fn nodes_that_grow_too_early_are_found_out() {
    let at_once = Times { lease: Duration::ZERO, drain: Duration::ZERO, margin: Duration::ZERO };
    let broken = (0..60).filter(|&seed| {
        let mut world = World::new(seed, Times::STANDARD, at_once);
        world.run();
        world.fault().is_some()
    });
    assert!(broken.count() >= 5);
}

#[test]
fn a_node_sends_only_while_it_knows_that_no_generation_begins() {
    let times = Times::STANDARD;
    let (mut node, begun) = (Switch::new(times), clock::monotonic());
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    assert_eq!(node.may_send(at(0)), Err(Shut::Unknown));
    assert_eq!(node.told(at(0), Answer::Generation(None), at(0)), Ok(Task::Wait));
    node.has_partitions(2);
    let first = Generation::first(2);
    assert_eq!(node.told(at(0), Answer::Generation(None), at(0)), Ok(Task::CreateFirst(first.clone())));
    assert_eq!(node.told(at(0), Answer::Generation(Some(first)), at(0)), Ok(Task::AskOn));
    assert_eq!((node.question(), node.may_send(at(0))), (Question::Beginning(2), Err(Shut::Unconfirmed)));
    assert_eq!(node.told(at(1), Answer::Beginning(None), at(4)), Ok(Task::Wait));
    assert_eq!((node.may_send(at(10)), node.may_send(at(11))), (Ok(()), Err(Shut::Unconfirmed)));
    assert_eq!(node.verdict(1, (0, 7), at(15)), Verdict::Good);
    assert_eq!(node.verdict(1, (0, 7), at(16)), Verdict::NotYet);
    node.has_partitions(3);
    let beginning = Beginning { number: 2, partitions: 3 };
    assert_eq!(node.told(at(12), Answer::Beginning(None), at(13)), Ok(Task::Begin(beginning)));
    assert_eq!(node.told(at(14), Answer::Beginning(Some(beginning)), at(15)), Ok(Task::AskOn));
    assert_eq!((node.question(), node.may_send(at(15))), (Question::Generation(2), Err(Shut::Switching)));
    assert_eq!(node.told(at(30), Answer::Generation(None), at(30)), Ok(Task::Wait));
    assert_eq!(node.told(at(31), Answer::Generation(None), at(31)), Ok(Task::End));
    let second = node.end(vec![8, 3], 99).unwrap().unwrap();
    assert_eq!(second, Generation { number: 2, partitions: 3, created: 99, ends: vec![8, 3] });
    assert_eq!(node.told(at(32), Answer::Generation(Some(second)), at(32)), Ok(Task::AskOn));
    assert_eq!(node.verdict(1, (0, 7), at(99)), Verdict::Good);
    assert_eq!(node.verdict(1, (0, 8), at(32)), Verdict::Late);
    assert_eq!(node.told(at(33), Answer::Beginning(None), at(33)), Ok(Task::Wait));
    assert_eq!(node.may_send(at(34)), Ok(()));
    node.has_partitions(2);
    assert_eq!(node.may_send(at(34)), Err(Shut::Behind));
    assert_eq!(node.told(at(35), Answer::Beginning(None), at(35)), Ok(Task::Wait));
}

#[test]
fn readers_that_never_wait_would_see_records_of_the_next_generation() {
    let broken = (0..60).filter(|&seed| {
        let world = simulated(seed);
        world.beyond(&world.seen).is_some()
    });
    assert!(broken.count() >= 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_confirmed_record_loses_its_place_whatever_happens_to_nodes_store_and_broker(seed in any::<u64>()) {
        let world = simulated(seed);
        prop_assert_eq!(world.fault(), None);
        prop_assert_eq!(world.beyond(&world.shown), None);
        // It has done something, and goes on once nothing goes wrong.
        let grown = world.generations.values().last().unwrap();
        prop_assert_eq!(grown.partitions as usize, world.partitions.len());
        prop_assert!(world.confirmed.iter().any(|record| record.sent.generation == grown.number));
        let known: Vec<_> = world.generations.values().cloned().collect();
        for node in &world.nodes {
            prop_assert_eq!(node.switch.generations().known(), &known[..]);
            prop_assert_eq!(node.switch.may_send(node.clock(END)), Ok(()));
            prop_assert!(node.switch.may_show(node.clock(END)));
        }
    }
}
