use super::super::key::tests::key;
use super::*;
use crate::runtime::clock;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

fn made(bytes: usize) -> Made {
    Made::of_moment(vec![b'x'; bytes])
}

/// Keeps an answer of so many bytes by that name, for a second.
fn keep(store: &Store, name: &str, bytes: usize, now: Instant) -> (Option<Arc<Kept>>, usize) {
    let key = Arc::new(key(name));
    let (_, epoch) = store.find(&key);
    store.keep((&key, epoch), (&made(bytes), None), (now, SECOND))
}

fn has(store: &Store, name: &str, now: Instant) -> bool {
    store.find(&key(name)).0.is_some_and(|kept| kept.holds(None, now))
}

#[test]
fn an_answer_holds_until_its_time_is_over() {
    let (store, now) = (Store::new(MIB), clock::monotonic());
    let (kept, gone) = keep(&store, "a", 10, now);
    assert_eq!((&*kept.unwrap().text, gone), (&[b'x'; 10][..], 0));
    assert!(has(&store, "a", now) && !has(&store, "b", now));
    assert!(has(&store, "a", now + SECOND - Duration::from_nanos(1)));
    assert!(!has(&store, "a", now + SECOND));
    assert_eq!(store.find(&key("a")).0.unwrap().age(now + SECOND), SECOND);
    // Another one takes its place, and its bytes.
    let (_, before) = store.size();
    keep(&store, "a", 10, now + SECOND);
    assert!(has(&store, "a", now + SECOND));
    assert_eq!(store.size(), (1, before));
}

#[test]
fn there_are_never_more_bytes_than_there_may_be_and_what_is_asked_for_stays() {
    let (store, now) = (Store::new(MIB), clock::monotonic());
    keep(&store, "asked", 1_000, now);
    let mut gone = 0;
    for number in 0..2_000 {
        gone += keep(&store, &number.to_string(), 1_000, now).1;
        assert!(has(&store, &number.to_string(), now), "{number}");
        assert!(has(&store, "asked", now), "{number}");
        let (answers, bytes) = store.size();
        assert!(bytes <= MIB, "{bytes}");
        assert_eq!(answers + gone, number + 2, "each is there or has gone");
    }
    assert!(gone > 1_000 && !has(&store, "0", now), "{gone}");
    // At least half of the room is in use.
    assert!(store.size().1 > MIB / 2 - 2_000);
}

#[test]
fn an_answer_of_more_than_a_quarter_is_not_kept() {
    let (store, now) = (Store::new(MIB), clock::monotonic());
    assert!(keep(&store, "large", 1 << 18, now).0.is_none());
    assert_eq!(store.size(), (0, 0));
    assert!(keep(&store, "less", (1 << 18) - 1_000, now).0.is_some());
}

#[test]
fn clients_that_do_not_read_hold_no_more_than_there_may_be() {
    let (store, now) = (Store::new(MIB), clock::monotonic());
    let mut held = Vec::new();
    for number in 0..100 {
        let (kept, _) = keep(&store, &number.to_string(), 200_000, now);
        held.extend(kept.map(|kept| kept.text.clone()));
        assert!(store.size().1 <= MIB);
    }
    assert_eq!(held.len(), 5, "five of 200 kB are a MiB");
    drop(held);
    assert!(keep(&store, "again", 200_000, now).0.is_some());
}

#[test]
fn what_was_begun_before_all_was_forgotten_is_not_kept() {
    let (store, now) = (Store::new(MIB), clock::monotonic());
    let key = Arc::new(key("a"));
    let (_, epoch) = store.find(&key);
    let (kept, _) = store.keep((&key, epoch), (&made(1_000), None), (now, SECOND));
    let bytes = kept.map(|kept| kept.bytes).unwrap();
    assert!(bytes > 1_000);
    assert_eq!(store.forget(), (1, bytes));
    assert_eq!((store.size(), has(&store, "a", now)), ((0, 0), false));
    let (kept, _) = store.keep((&key, epoch), (&made(1_000), None), (now, SECOND));
    assert!(kept.is_none() && !has(&store, "a", now));
    assert_eq!(store.size(), (0, 0), "what it has paid comes back");
    let (_, epoch) = store.find(&key);
    assert!(store.keep((&key, epoch), (&made(1_000), None), (now, SECOND)).0.is_some());
}
