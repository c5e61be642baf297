//! Brokers that go away, hand over what they lead, and are slow.

use std::time::Duration;

use forebay::testkit::faulty_broker::Link;

use super::{Cluster, PARTITIONS, Scene, mock, rest};
use crate::chance::{self, Chance};

/// A minute, and a bound for the short form.
const MINUTE: Duration = Duration::from_secs(65);
const MOMENT: Duration = Duration::from_secs(4);

/// A broker of the mock cluster, which keeps what it has acknowledged and knows sessions. The real one loses, now and then,
/// what it had acknowledged before it was stopped; and where it goes on and its address alone refuses connections, the
/// members of a group that come back at the same time may wait for ever for one that was there before. But it keeps twice
/// what is sent again because its answer was lost, so nothing is under way when it goes.
#[test]
fn nothing_is_lost_or_doubled_while_the_broker_is_away() {
    let mock = mock(1);
    let mut chance = Chance::of("cluster outage");
    let mut scene = Scene::begin("broker down for a minute", Cluster::mocked(&mock), 2, 2);
    let long = if chance::is_long() { MINUTE } else { MOMENT };
    let mut outages = vec![long, chance.pause(Duration::from_millis(100), MOMENT)];
    if chance::is_long() {
        let short = |_| chance.pause(Duration::from_millis(100), MOMENT);
        outages.extend((0..chance::kills(0) / 40).map(short));
        outages.push(MINUTE);
    }
    for (number, outage) in outages.iter().enumerate() {
        scene.progress(100);
        scene.end_load();
        mock.broker_down(1).unwrap();
        scene.send();
        // In every second outage an edge dies as well.
        if number % 2 == 1 {
            scene.kill_edge(number / 2 % 2);
        }
        rest(*outage);
        mock.broker_up(1).unwrap();
    }
    scene.progress(200);
    scene.all_are_owned();
    scene.row.note = format!("{} outages of up to {} s", outages.len(), long.as_secs());
    scene.end();
}

#[test]
fn nothing_is_lost_or_doubled_while_leaders_move() {
    const BROKERS: i32 = 3;
    let mock = mock(BROKERS);
    let mut chance = Chance::of("cluster leaders");
    let mut scene = Scene::begin("leaders move", Cluster::mocked(&mock), 2, 2);
    let moves = if chance::is_long() { 600 } else { 30 };
    let mut pick = |count: i32| i32::try_from(chance.up_to(count as u64)).unwrap();
    for turn in 0..moves {
        let (partition, leader) = (pick(PARTITIONS) - 1, pick(BROKERS));
        mock.partition_leader(&scene.cluster.topic, partition, Some(leader)).unwrap();
        // One in six of those that lead is gone for a while.
        if pick(6) == 1 {
            mock.broker_down(leader).unwrap();
            rest(Duration::from_millis(300));
            mock.broker_up(leader).unwrap();
        }
        rest(Duration::from_millis(u64::try_from(pick(250)).unwrap()));
        if turn % 100 == 50 {
            scene.kill_edge(turn / 100 % 2);
        }
    }
    for edge in &mut scene.edges {
        assert!(edge.listens(), "{}", edge.log());
    }
    scene.progress(200);
    scene.row.note = format!("{moves} moves between {BROKERS} brokers");
    scene.end();
}

#[test]
fn nothing_is_lost_or_doubled_by_a_slow_broker() {
    let mock = mock(1);
    let (proxy, cluster) = Cluster::behind_proxy(&mock);
    let mut scene = Scene::begin("slow broker", cluster, 2, 2);
    let time = if chance::is_long() { MINUTE } else { MOMENT };
    let slow = Link::Slow { latency: Duration::from_millis(250), bytes_per_second: 200_000 };
    let slower = Link::Slow { latency: Duration::from_secs(2), bytes_per_second: 20_000 };
    let illnesses = [slow, slower, Link::Stall];
    for (number, link) in illnesses.into_iter().enumerate() {
        scene.progress(50);
        proxy.link(link).unwrap();
        rest(time);
        if number == 1 {
            scene.kill_edge(0);
        }
        proxy.link(Link::Open).unwrap();
    }
    assert!(scene.edges[0].listens(), "{}", scene.edges[0].log());
    scene.progress(200);
    scene.row.note =
        format!("{} s each: 250 ms and 200 KB/s, 2 s and 20 KB/s, nothing at all", time.as_secs());
    scene.end();
    assert_eq!(proxy.problems(), [""; 0]);
}
