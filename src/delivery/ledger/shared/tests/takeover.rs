//! Cases that must hold, one by one.

use std::path::Path as FilePath;

use super::super::object::{self, Object};
use super::super::place::Created;
use super::super::taking::Owner;
use super::*;
use crate::delivery::ledger::{Commit, History};
use crate::testkit::faulty_store::{Conditions, Fault, FaultyStore, Operation, Rule};

/// A ledger of `node` with an epoch.
async fn begun(store: &Arc<dyn ObjectStore>, node: &str) -> Ledger {
    let (ledger, state) = open(store, node, SMALL).await.unwrap();
    assert_eq!((seals(&state), state.epochs.len()), (vec![], 0));
    ledger.append(vec![epoch()]).await.unwrap();
    ledger
}

fn way(store: &Arc<dyn ObjectStore>) -> (LossyStore, Arc<dyn ObjectStore>) {
    let way = LossyStore::to(Arc::clone(store), 1);
    (way.clone(), Arc::new(way))
}

#[tokio::test(start_paused = true)]
async fn what_was_appended_is_there_for_the_next_owner_and_the_one_before_is_deposed() {
    let store = memory();
    let first = begun(&store, "a").await;
    first.append(vec![seal(1), seal(2)]).await.unwrap();
    let (second, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!(seals(&state), [1, 2]);
    let generation = state.generation.clone().unwrap();
    assert_eq!((generation.number, generation.node.as_str()), (2, "b"));
    assert_eq!(generation.ledger, first.state().generation.unwrap().ledger, "both make the same keys");
    let error = first.append(vec![seal(3)]).await.unwrap_err();
    assert_eq!(error.to_string(), "node 'b' has taken it over (generation 2)");
    assert!(error.is_deposed() && first.append(vec![seal(4)]).await.unwrap_err().is_deposed());
    assert_eq!(first.deposed().await, generation);
    second.append(vec![seal(3)]).await.unwrap();
    assert_eq!((stored(&store).await, seals(&second.state())), (second.state(), vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_is_lost_counts_as_written() {
    let store = memory();
    let (way, lossy) = way(&store);
    let ledger = begun(&lossy, "a").await;
    way.set_weather(Weather { loses_answer: 1_000, ..Weather::default() });
    let fine_again = async {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        way.set_weather(Weather::default());
    };
    let (appended, ()) = tokio::join!(ledger.append(vec![seal(1)]), fine_again);
    appended.unwrap();
    assert_eq!(seals(&stored(&store).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_has_failed_and_comes_late_does_not_count_behind_one_that_succeeds() {
    let store = memory();
    let (way, lossy) = way(&store);
    let ledger = begun(&lossy, "a").await;
    way.set_weather(Weather { is_late: 1_000, ..Weather::default() });
    let error = ledger.append(vec![seal(1)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Store { action: "write", .. }), "{error}");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    way.set_weather(Weather::default());
    assert_eq!(seals(&stored(&store).await), [1], "whoever looks now finds it");
    ledger.append(vec![seal(1), seal(2)]).await.unwrap();
    assert_eq!((seals(&ledger.state()), stored(&store).await), (vec![1, 2], ledger.state()));
    // The next owner as well, and whoever reads the history.
    let (next, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!(seals(&state), [1, 2]);
    let folder = FilePath::new("/copy");
    let disk = files_of(&place(&store), folder).await.unwrap();
    let history = History::open(&*disk, folder).unwrap().unwrap();
    let mut told = Vec::new();
    let end = history.read(&*disk, &mut |entry| told.push(entry)).unwrap();
    assert_eq!((end, history.is_complete()), (next.state(), true));
    let sealed = told.iter().filter(|entry| matches!(entry, Entry::Seal(_))).count();
    assert_eq!(sealed, 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_that_the_next_owner_has_found_is_a_fact() {
    let store = memory();
    let (way, lossy) = way(&store);
    let first = begun(&lossy, "a").await;
    way.set_weather(Weather { is_late: 1_000, ..Weather::default() });
    first.append(vec![seal(1)]).await.unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let (_second, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!(seals(&state), [1]);
    way.set_weather(Weather::default());
    // So it is if it comes again as it was. Nothing else can come.
    first.append(vec![seal(1)]).await.unwrap();
    assert!(first.append(vec![seal(2)]).await.unwrap_err().is_deposed());
    assert_eq!(seals(&stored(&store).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_does_not_become_another_one_behind_the_next_owner() {
    let store = memory();
    let (way, lossy) = way(&store);
    let first = begun(&lossy, "a").await;
    way.set_weather(Weather { is_late: 1_000, ..Weather::default() });
    first.append(vec![seal(1)]).await.unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let (second, _) = open(&store, "b", SMALL).await.unwrap();
    way.set_weather(Weather::default());
    assert!(first.append(vec![seal(1), seal(2)]).await.unwrap_err().is_deposed());
    assert_eq!((seals(&stored(&store).await), seals(&second.state())), (vec![1], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn appends_that_wait_together_are_one_object() {
    let store = memory();
    let ledger = begun(&store, "a").await;
    let before = numbers(&store).await.len();
    let appends = (1..=20).map(|number| ledger.append(vec![seal(number)]));
    for result in futures_util::future::join_all(appends).await {
        result.unwrap();
    }
    let made = numbers(&store).await.len() - before;
    assert!((1..=2).contains(&made), "{made}");
}

#[tokio::test(start_paused = true)]
async fn an_append_that_is_refused_does_not_touch_the_others() {
    let store = memory();
    let ledger = begun(&store, "a").await;
    let commit = Entry::Commit(Commit { number: 9, etag: None, bytes: 1 });
    let (good, bad) = tokio::join!(ledger.append(vec![seal(1)]), ledger.append(vec![seal(2), commit]));
    good.unwrap();
    assert!(matches!(bad, Err(LedgerError::Refused(_))), "{bad:?}");
    assert_eq!(seals(&stored(&store).await), [1]);
}

/// Many appends, so that everything old is removed but what takes over.
async fn fill(ledger: &Ledger, numbers: std::ops::Range<u64>) {
    for number in numbers {
        ledger.append(vec![seal(number)]).await.unwrap();
        ledger.append(vec![Entry::Commit(Commit { number, etag: None, bytes: 1 })]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn old_objects_go_and_those_that_take_over_stay() {
    let store = memory();
    fill(&begun(&store, "a").await, 1..20).await;
    let (second, _) = open(&store, "b", SMALL).await.unwrap();
    let takeover = *numbers(&store).await.last().unwrap();
    fill(&second, 20..60).await;
    let left = numbers(&store).await;
    assert!(left.len() < 20, "{left:?}");
    assert_eq!(left[..2], [1, takeover], "{left:?}");
    let (third, state) = open(&store, "c", SMALL).await.unwrap();
    assert_eq!((state.committed_records, third.state()), (59, state));
    // History reaches back as far as it is there.
    let folder = FilePath::new("/copy");
    let disk = files_of(&place(&store), folder).await.unwrap();
    let history = History::open(&*disk, folder).unwrap().unwrap();
    assert!(!history.is_complete() && history.begin().committed_records > 20);
    assert_eq!(history.read(&*disk, &mut |_| {}).unwrap(), third.state());
}

#[tokio::test(start_paused = true)]
async fn a_deposed_owner_learns_it_however_late_it_writes() {
    for appends in [0, 3, 30] {
        let store = memory();
        let (way, lossy) = way(&store);
        let zombie = begun(&lossy, "a").await;
        zombie.append(vec![seal(1)]).await.unwrap();
        // It has written the next one, and does not know it.
        way.set_weather(Weather { loses_answer: 1_000, fails: 0, ..Weather::default() });
        let sleeping = zombie.clone();
        let asleep = tokio::spawn(async move { sleeping.append(vec![seal(2)]).await });
        tokio::task::yield_now().await;
        way.set_weather(Weather { fails: 1_000, ..Weather::default() });
        asleep.await.unwrap().ok();
        let (next, state) = open(&store, "b", SMALL).await.unwrap();
        assert_eq!(seals(&state), [1, 2]);
        fill(&next, 3..3 + appends).await;
        way.set_weather(Weather::default());
        let before = stored(&store).await;
        // What it has written before is a fact, also if it asks for it again.
        zombie.append(vec![seal(2)]).await.unwrap();
        assert!(zombie.append(vec![seal(101)]).await.unwrap_err().is_deposed(), "{appends}");
        assert_eq!((stored(&store).await, next.state()), (before.clone(), before), "{appends}");
        next.append(vec![seal(1_000)]).await.unwrap();
        assert_eq!(stored(&store).await, next.state());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_slept_since_it_has_read_does_not_own_what_was_removed() {
    let store = memory();
    let first = begun(&store, "a").await;
    let sleeper = place(&store);
    let found = reading::read(&sleeper).await.unwrap();
    fill(&first, 1..40).await;
    assert!(!numbers(&store).await.contains(&(found.newest + 1)), "it was removed");
    // As [`take_over`] does when it wakes up.
    let head = object::Head {
        format: 1,
        number: found.newest + 1,
        generation: 2,
        writer: "0123456789abcdef".into(),
        previous: found.checksum,
        snapshot: found.snapshot,
        annuls: false,
    };
    let content = object::encode(&head, &[], &[]).unwrap();
    assert_eq!(sleeper.create(head.number, &content).await.unwrap(), Created::Now);
    assert!(!sleeper.list(Some(head.number)).await.unwrap().is_empty(), "so it begins anew");
    // What it has left disturbs nobody.
    first.append(vec![seal(100)]).await.unwrap();
    assert_eq!(stored(&store).await, first.state());
    let disk = files_of(&place(&store), FilePath::new("/copy")).await.unwrap();
    let history = History::open(&*disk, FilePath::new("/copy")).unwrap().unwrap();
    assert_eq!(history.read(&*disk, &mut |_| {}).unwrap(), first.state());
    let (_, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!((seals(&state), state.generation.unwrap().number), (vec![100], 2));
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_and_is_slow_begins_anew_where_its_number_was_removed() {
    let store = memory();
    let first = begun(&store, "a").await;
    let (way, lossy) = way(&store);
    way.set_weather(Weather { write_millis: 3_000, ..Weather::default() });
    let slow = tokio::spawn(async move { open(&lossy, "b", SMALL).await });
    // It has read, and its create is on its way.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let next = numbers(&store).await.len() as u64 + 1;
    fill(&first, 1..40).await;
    assert!(!numbers(&store).await.contains(&next), "it was removed");
    let before = first.state();
    let (second, state) = slow.await.unwrap().unwrap();
    assert_eq!((state.committed_records, state.generation.as_ref().unwrap().number), (39, 2));
    assert_eq!(before.committed_records, 39);
    assert!(first.append(vec![seal(100)]).await.unwrap_err().is_deposed());
    second.append(vec![seal(100)]).await.unwrap();
    assert_eq!(stored(&store).await, second.state());
}

#[tokio::test(start_paused = true)]
async fn a_failed_append_that_was_done_and_removed_does_not_make_room_for_another_one() {
    let store = memory();
    let (way, lossy) = way(&store);
    let zombie = begun(&lossy, "a").await;
    way.set_weather(Weather { is_late: 1_000, ..Weather::default() });
    zombie.append(vec![seal(1)]).await.unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let (next, _) = open(&store, "b", SMALL).await.unwrap();
    fill(&next, 2..40).await;
    way.set_weather(Weather::default());
    assert!(zombie.append(vec![seal(100)]).await.unwrap_err().is_deposed());
    assert_eq!(stored(&store).await, next.state());
}

#[tokio::test(start_paused = true)]
async fn of_many_that_want_it_at_once_the_last_one_has_it() {
    let store = memory();
    let wanting = (0..8).map(|seed| {
        let way = LossyStore::to(Arc::clone(&store), seed);
        way.set_weather(Weather { millis: 0..50, ..Weather::default() });
        let way: Arc<dyn ObjectStore> = Arc::new(way);
        async move { open(&way, &format!("n{seed}"), SMALL).await }
    });
    let opened: Vec<_> = futures_util::future::join_all(wanting).await.into_iter().collect();
    let latest = stored(&store).await.generation.unwrap().number;
    let mut owners = 0;
    for (ledger, state) in opened.into_iter().flatten() {
        let is_latest = state.generation.as_ref().unwrap().number == latest;
        let appended = ledger.append(vec![epoch()]).await;
        assert_eq!(appended.is_ok(), is_latest, "{appended:?}");
        owners += u64::from(is_latest);
    }
    assert_eq!(owners, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_damage_that_names_the_object() {
    let store = memory();
    let ledger = begun(&store, "a").await;
    ledger.append(vec![seal(1)]).await.unwrap();
    let newest = *numbers(&store).await.last().unwrap();
    for number in newest - 1..=newest {
        let key = place(&store).key(number);
        let whole = place(&store).get(number).await.unwrap().unwrap();
        let mut flipped = whole.to_vec();
        flipped[40] ^= 1;
        let put = |bytes: Vec<u8>| async { store.put_opts(&key, bytes.into(), Default::default()).await };
        put(flipped).await.unwrap();
        let error = open(&store, "b", SMALL).await.unwrap_err();
        let expected = format!("{key} is damaged at line 1");
        assert!(error.to_string().starts_with(&expected), "{error}");
        put(whole.to_vec()).await.unwrap();
        Object::decode("", number, &whole).unwrap();
    }
    // One that was put there from somewhere else.
    let key = place(&store).key(newest + 1);
    let other = place(&store).get(newest).await.unwrap().unwrap();
    store.put_opts(&key, other.into(), Default::default()).await.unwrap();
    let error = open(&store, "b", SMALL).await.unwrap_err();
    assert!(error.to_string().contains("under another name"), "{error}");
}

/// The bucket of a server.
fn bucket(server: &FaultyStore) -> Arc<dyn ObjectStore> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    crate::delivery::sink::open_store(&server.sink("ledgers/").unwrap()).unwrap().0
}

#[tokio::test]
async fn a_store_that_takes_no_notice_of_conditions_is_refused() {
    for conditions in [Conditions::Ignored, Conditions::Refused] {
        let server = FaultyStore::start_with(conditions, 1).unwrap();
        let error = open(&bucket(&server), "a", SMALL).await.unwrap_err();
        let is_told = match conditions {
            Conditions::Ignored => matches!(error, LedgerError::NoConditions { .. }),
            _ => error.to_string().contains("501"),
        };
        assert!(is_told, "{error}");
    }
}

#[tokio::test]
async fn answers_that_a_server_loses_or_refuses_are_asked_for_again() {
    let server = FaultyStore::start().unwrap();
    let store = bucket(&server);
    let (ledger, _) = open(&store, "a", SMALL).await.unwrap();
    server.rule(Rule::new(Operation::Put, Fault::Drop).once_done());
    ledger.append(vec![epoch()]).await.unwrap();
    server.rule(Rule::new(Operation::Put, Fault::SLOW_DOWN));
    server.rule(Rule::new(Operation::Get, Fault::INTERNAL));
    ledger.append(vec![seal(1)]).await.unwrap();
    server.rule(Rule::new(Operation::Put, Fault::DENIED));
    let error = ledger.append(vec![seal(2)]).await.unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    ledger.append(vec![seal(2)]).await.unwrap();
    server.rule(Rule::new(Operation::List, Fault::INTERNAL));
    server.rule(Rule::new(Operation::Get, Fault::Drop).after(1));
    server.rule(Rule::new(Operation::Put, Fault::Drop).once_done());
    let (next, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!(seals(&state), [1, 2]);
    assert!(ledger.append(vec![seal(3)]).await.unwrap_err().is_deposed());
    for number in 3..40 {
        next.append(vec![seal(number)]).await.unwrap();
    }
    assert!(server.objects().len() < 20, "old ones are removed: {:?}", server.objects().keys());
}

#[tokio::test]
async fn a_folder_that_several_share_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path().join("not/there/yet")).unwrap();
    let config = crate::config::checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
    let (store, root) = crate::delivery::sink::open_store(&config).unwrap();
    assert_eq!(root.as_ref(), "");
    let (first, _) = open(&store, "a", SMALL).await.unwrap();
    first.append(vec![epoch(), seal(1)]).await.unwrap();
    let (store, _) = crate::delivery::sink::open_store(&config).unwrap();
    let (second, state) = open(&store, "b", SMALL).await.unwrap();
    assert_eq!(seals(&state), [1]);
    assert!(first.append(vec![seal(2)]).await.unwrap_err().is_deposed());
    fill(&second, 2..40).await;
    assert_eq!(stored(&store).await, second.state());
    assert!(numbers(&store).await.len() < 20);
}

#[tokio::test]
async fn nodes_of_another_group_do_not_take_a_ledger_over() {
    let store = memory();
    let of = |group| Owner { node: "a", group };
    let (_, state) = Ledger::take_over(place(&store), "of an older version").await.unwrap();
    assert_eq!(state.generation.unwrap().group, None);
    let (first, _) = Ledger::take_over(place(&store), of(Some("east"))).await.unwrap();
    let refused = Ledger::take_over(place(&store), of(Some("west"))).await.err().unwrap().to_string();
    assert!(refused.contains("group = \"east\"") && refused.contains("group = \"west\""), "{refused}");
    first.append(vec![epoch()]).await.expect("nobody has deposed it");
    let (_, state) = Ledger::take_over(place(&store), of(Some("east"))).await.unwrap();
    let generation = state.generation.unwrap();
    assert_eq!((generation.number, generation.group.as_deref()), (3, Some("east")));
}
