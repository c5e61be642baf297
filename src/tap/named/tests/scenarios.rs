//! What workers live through, one thing at a time.

use super::super::leases::Held;
use super::*;

fn held(world: &World, worker: usize) -> Vec<u32> {
    world.leases.held(&world.names[worker]).iter().map(|held| held.shard.0).collect()
}

fn append_all(world: &mut World, count: u64) {
    world.ends.values_mut().for_each(|end| *end += count);
}

#[test]
fn a_worker_that_joins_gets_idle_shards_at_once_and_others_once_they_are_done() {
    let mut world = World::new(4);
    world.poll(0, 10, &Cursor::default());
    assert_eq!(held(&world, 0), [0, 1, 2, 3]);
    *world.ends.get_mut(&ShardId(3)).unwrap() += 5;
    *world.ends.get_mut(&ShardId(2)).unwrap() += 5;
    *world.ends.get_mut(&ShardId(1)).unwrap() += 5;
    world.poll(0, 10, &Cursor::default());
    world.poll(1, 10, &Cursor::default());
    assert_eq!((held(&world, 0), held(&world, 1)), (vec![1, 2, 3], vec![0]));
    append_all(&mut world, 5);
    world.poll(0, 10, &Cursor::default());
    let page = world.pages[0].last().cloned().unwrap();
    assert_eq!(page.to_string(), "1-110_2-110", "the third shard is handed over");
    assert_eq!(world.commit(0, &Cursor::parse("1-105_2-105_3-105").unwrap()).lost, []);
    assert_eq!((held(&world, 0), held(&world, 1)), (vec![1, 2], vec![0, 3]));
}

#[test]
fn a_worker_that_does_not_finish_what_it_hands_over_loses_it_with_its_lease() {
    let mut world = World::new(2);
    append_all(&mut world, 5);
    world.poll(0, 10, &Cursor::default());
    world.poll(1, 10, &Cursor::default());
    assert_eq!((held(&world, 0), held(&world, 1)), (vec![0, 1], vec![]));
    for _ in 0..3 {
        world.now += LEASE / 3;
        world.poll(0, 10, &Cursor::default());
        world.poll(1, 10, &Cursor::default());
    }
    assert_eq!((held(&world, 0), held(&world, 1)), (vec![0], vec![1]));
    let late = world.commit(0, &Cursor::parse("0-105_1-105").unwrap());
    assert_eq!((late.forward, late.lost), (vec![(ShardId(0), SequenceNumber(105))], vec![ShardId(1)]));
    assert_eq!(world.done(ShardId(1)), 100);
}

#[test]
fn a_dead_workers_shards_go_to_the_living_and_its_word_counts_no_more() {
    let mut world = World::new(2);
    append_all(&mut world, 5);
    world.poll(0, 10, &Cursor::default());
    world.now += LEASE;
    let page = world.pages[0].last().cloned().unwrap();
    assert_eq!(world.commit(0, &page).lost, [], "nobody has taken them");
    append_all(&mut world, 5);
    world.poll(0, 10, &Cursor::default());
    world.now += LEASE;
    let changes = world.leases.join(&Arc::clone(&world.names[1]), world.now).unwrap();
    world.note(1, &changes);
    let from: Vec<_> = changes.given.iter().map(|given| given.taken_from.as_deref()).collect();
    assert_eq!(from, [Some("w0"), Some("w0")]);
    let page = world.pages[0].last().cloned().unwrap();
    assert_eq!(world.commit(0, &page).lost, [ShardId(0), ShardId(1)]);
    world.poll(1, 10, &Cursor::default());
    assert_eq!(world.pages[1].last().unwrap().to_string(), "0-110_1-110");
    assert!((105..110).all(|number| world.handed[&ShardId(0)].contains(&number)));
}

#[test]
fn after_a_reset_old_pages_count_no_more_although_the_worker_has_the_shards_again() {
    let mut world = World::new(1);
    append_all(&mut world, 9);
    world.poll(0, 10, &Cursor::default());
    let page = world.pages[0].last().cloned().unwrap();
    world.commit(0, &page);
    append_all(&mut world, 9);
    world.poll(0, 10, &Cursor::default());
    let page = world.pages[0].last().cloned().unwrap();
    world.leases.reset(|_| Some(SequenceNumber(100)));
    world.leases.join(&Arc::clone(&world.names[0]), world.now).unwrap();
    assert_eq!(held(&world, 0), [0]);
    assert_eq!(world.leases.check("w0", &page).lost, [ShardId(0)]);
    assert_eq!(world.done(ShardId(0)), 100);
}

#[test]
fn a_connection_that_lives_through_a_reset_begins_anew_and_its_last_word_counts_once_it_has() {
    let mut world = World::new(1);
    append_all(&mut world, 9);
    world.poll(0, 10, &Cursor::default());
    let far = world.pages[0].last().cloned().unwrap();
    world.commit(0, &far);
    append_all(&mut world, 9);
    world.look(0, 10, &far);
    world.leases.reset(|_| Some(SequenceNumber(103)));
    world.owners.clear();
    let changes = world.leases.join(&Arc::clone(&world.names[0]), world.now).unwrap();
    world.note(0, &changes);
    assert!(!world.send(0), "it was read before the reset, and what lies before it is wanted again");
    world.poll(0, 2, &far);
    assert_eq!(world.pages[0].last().unwrap().to_string(), "0-105");
    assert_eq!(world.leases.check("w0", &far).lost, [ShardId(0)]);
    world.commit(0, &Cursor::parse("0-105").unwrap());
    assert_eq!(world.done(ShardId(0)), 105);
}

#[test]
fn a_worker_that_has_a_shard_again_after_another_one_begins_at_the_checkpoint() {
    let mut world = World::new(1);
    append_all(&mut world, 9);
    world.poll(0, 10, &Cursor::default());
    let far = world.pages[0].last().cloned().unwrap();
    world.now += LEASE;
    world.poll(1, 0, &Cursor::default());
    assert_eq!((held(&world, 0), held(&world, 1)), (vec![], vec![0]));
    world.poll(0, 0, &Cursor::default());
    world.leave(1);
    assert_eq!(held(&world, 0), [0]);
    assert_eq!(world.commit(0, &far).lost, [ShardId(0)]);
    append_all(&mut world, 1);
    world.poll(0, 10, &far);
    assert_eq!(world.handed[&ShardId(0)].len(), 10);
    assert_eq!(world.owners[&ShardId(0)].sent, 110);
}

#[test]
fn what_was_sent_under_an_earlier_lease_does_not_count() {
    let held = |sent: u64, is_leaving| {
        let at = SequenceNumber;
        [Held { shard: ShardId(0), done: at(3), sent: at(sent), is_leaving }]
    };
    let after = Cursor::parse("0-7").unwrap();
    for (sent, is_leaving, expected) in
        [(7, false, ("0-7", "")), (6, false, ("0-3", "")), (7, true, ("0-7", "0-7")), (6, true, ("", ""))]
    {
        let (start, leaving) = positions(&held(sent, is_leaving), &after);
        assert_eq!((start.to_string().as_str(), leaving.to_string().as_str()), expected);
    }
}

fn stretch(shard: u32, from: u64, next: u64) -> Stretch {
    Stretch { shard: ShardId(shard), from: SequenceNumber(from), next: SequenceNumber(next) }
}

#[test]
fn shards_that_go_unread_are_told_and_a_grant_is_refused_for_what_has_changed_hands() {
    let mut world = World::new(1);
    append_all(&mut world, 7);
    world.poll(0, 3, &Cursor::default());
    world.commit(0, &Cursor::parse("0-103").unwrap());
    world.split(ShardId(0));
    world.leases.follow(&world.facts);
    let children = world.facts.split_off(1);
    world.leases.follow(&children);
    assert_eq!((world.leases.take_unread(), world.leases.take_unread()), (4, 0));
    assert!(!world.leases.grant("w0", &[stretch(0, 103, 107)]), "it is gone");
    assert!(!world.leases.grant("w1", &[stretch(1, 107, 108)]), "it is nobody's");
    assert_eq!(world.leases.check("w0", &Cursor::parse("0-107").unwrap()), Checked::default());
    assert_ne!(world.leases.join(&Arc::clone(&world.names[0]), world.now), Ok(Changes::default()));
    assert_eq!(held(&world, 0), [1, 2]);
}

#[test]
fn shards_are_spread_anew_only_where_something_asks_for_it() {
    let mut world = World::new(4);
    world.poll(0, 10, &Cursor::default());
    world.poll(1, 10, &Cursor::default());
    for _ in 0..5 {
        append_all(&mut world, 9);
        world.now += LEASE / 12;
        for worker in [0, 1] {
            assert!(!world.leases.is_unsettled(world.now), "records come, go out and are done");
            world.poll(worker, 3, &Cursor::default());
            let page = world.pages[worker].last().unwrap().clone();
            world.commit(worker, &page);
        }
    }
    let (now, facts, names) = (world.now, world.facts.clone(), world.names.clone());
    let after = |change: &dyn Fn(&mut Leases)| {
        let mut leases = world.leases.clone();
        change(&mut leases);
        leases
    };
    assert!(after(&|leases| leases.follow(&facts)).is_unsettled(now));
    assert!(after(&|leases| leases.reset(|_| None)).is_unsettled(now));
    assert!(after(&|_| ()).is_unsettled(now + LEASE));
    let finished = after(&|leases| {
        let end = leases.done().position(ShardId(0));
        leases.follow(&[ShardFacts { end, ..facts[0] }, facts[1], facts[2], facts[3]]);
        leases.live_on(&names[0], now);
    });
    assert!(!finished.is_unsettled(now));
    assert_eq!(finished.held("w0").len() + finished.held("w1").len(), 3);
    let mut joined = after(&|leases| assert!(!leases.join(&names[2], now).unwrap().is_empty()));
    assert!(!joined.is_unsettled(now));
    let leaving = ["w0", "w1"].iter().flat_map(|name| joined.held(name)).find(|held| held.is_leaving);
    assert_eq!(leaving, None, "all that was sent is done, so it changes hands at once");
    assert!(!joined.leave("w2", now).1.is_empty());
}
