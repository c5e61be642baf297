//! Subjects: bounded, and never more is given than each may have.

use proptest::prelude::*;

use super::super::account::Moment;
use super::super::charge::{AllHeld, Charge};
use super::super::measure::Cost;
use super::*;
use crate::config::checked::{Limit, Period, Quota, Rate, Rates};

fn allowance(burst: u64, quota: Option<u64>) -> Allowance {
    let records = Some(Rate { a_second: 1, burst });
    let quota = quota.map(|records| Quota { records: Some(records), bytes: None, period: Period::Month });
    let limit = Limit { ingest: Rates { records, ..Rates::default() }, tap: Rates::default() };
    Allowance { limit, quota, ..Allowance::default() }
}

fn subjects(max: usize) -> Arc<Subjects> {
    Arc::new(Subjects::with_max(max, (Counter::noop(), Counter::noop())))
}

fn moment(now: Instant) -> Moment {
    Moment { now, wall: clock::wall() }
}

/// Asks for a record as `name`. Whether it is let in.
fn ask(source: &Arc<Source>, name: &str, now: Instant) -> bool {
    let mut held = AllHeld::default();
    held[Level::PRINCIPAL_INDEX] = source.standing(&Arc::from(name)).account;
    let cost = Cost { requests: 1, records: 1, bytes: 10 };
    match Charge::take(held, Flow::Ingest, cost, moment(now)) {
        Ok(mut charge) => charge.settle_records(1, 1, 10).is_ok(),
        Err(_) => false,
    }
}

#[test]
fn each_subject_of_each_source_has_buckets_of_its_own() {
    let (subjects, now) = (subjects(1_600), clock::monotonic());
    let issuer = subjects.source("jwt", "https://i.example/", allowance(2, None));
    let authorizer = subjects.source("http", "authorizer", allowance(1, None));
    for (source, name, count) in [(&issuer, "a", 2), (&issuer, "b", 2), (&authorizer, "a", 1)] {
        let taken = (0..5).filter(|_| ask(source, name, now)).count();
        assert_eq!(taken, count, "{name}");
    }
    // Another token of the same subject is no other subject.
    assert!(!ask(&issuer, "a", now) && ask(&issuer, "a", now + Duration::from_secs(1)));
    let unlimited = subjects.source("jwt", "j", Allowance { weight: 5, ..Allowance::default() });
    let standing = unlimited.standing(&Arc::from("j#x"));
    assert!(standing.account.is_none());
    assert!(matches!(standing.competes, Some(Competitor::Client(ClientKey::Name(_), 5))));
}

#[test]
fn a_hundred_thousand_subjects_take_no_more_room_than_there_is_and_get_no_burst_twice() {
    let (subjects, now) = (subjects(160), clock::monotonic());
    let source = subjects.source("jwt", "i", allowance(3, None));
    // Whoever has come before is forgotten by then, and comes again all the same.
    let names: Vec<String> = (0..1_000).map(|number| format!("i#{number}")).collect();
    let taken = (0..100).flat_map(|_| &names).filter(|name| ask(&source, name, now)).count();
    assert_eq!(subjects.len(), 160);
    assert_eq!(taken, 160 * 3, "as many bursts as there are places");
    // Those who are full again go, and whoever comes then has a full bucket.
    let later = now + Duration::from_secs(3);
    assert_eq!((0..3).filter(|_| ask(&source, "i#new", later)).count(), 3);
    assert!(!ask(&source, "i#new", later));
}

#[test]
fn a_hundred_thousand_different_names_stay_within_the_bound_of_the_process() {
    let (subjects, now) = (Arc::new(Subjects::new((Counter::noop(), Counter::noop()))), clock::monotonic());
    let source = subjects.source("jwt", "i", allowance(1, None));
    for number in 0..100_000 {
        ask(&source, &format!("i#{number}"), now);
    }
    assert_eq!(subjects.len(), SUBJECTS_MAX);
}

#[test]
fn changed_settings_begin_with_full_buckets_and_keep_what_was_used() {
    let (subjects, now) = (subjects(160), clock::monotonic());
    let before = subjects.source("jwt", "i", allowance(2, Some(5)));
    assert!(ask(&before, "i#a", now) && ask(&before, "i#a", now) && !ask(&before, "i#a", now));
    // The same settings change nothing.
    let same = subjects.source("jwt", "i", allowance(2, Some(5)));
    assert!(!ask(&same, "i#a", now) && !ask(&before, "i#a", now));
    let changed = subjects.source("jwt", "i", allowance(4, Some(5)));
    assert_eq!((0..9).filter(|_| ask(&changed, "i#a", now)).count(), 3, "two of five were used");
    // Whoever came in by the settings of before does not bring these back.
    assert!(!ask(&before, "i#a", now) && !ask(&changed, "i#a", now + Duration::from_secs(60)));
    assert_eq!(subjects.usages(clock::wall())[0].records, 5);
}

#[test]
fn what_was_used_outlives_the_process_for_as_long_as_the_source_is_there() {
    let (first, now) = (subjects(160), clock::monotonic());
    let source = first.source("jwt", "i", allowance(9, Some(5)));
    assert!(ask(&source, "i#a", now) && ask(&source, "i#a", now) && first.have_quotas());
    let kept = first.usages(clock::wall());
    assert_eq!((kept.len(), kept[0].records, kept[0].source.as_deref()), (1, 2, Some("i")));

    let second = subjects(160);
    let source = second.source("jwt", "i", allowance(9, Some(5)));
    second.restore(&kept[0], clock::wall());
    second.restore(&KeptUsage { source: Some("gone".into()), ..kept[0].clone() }, clock::wall());
    assert_eq!((0..9).filter(|_| ask(&source, "i#a", now)).count(), 3);
    second.forget_others(|kind, name| (kind, name) != ("jwt", "i"));
    assert_eq!((second.len(), second.usages(clock::wall()).len()), (0, 0));
    assert!(!second.have_quotas());
}

#[test]
fn a_quota_that_was_used_is_not_let_go_of_while_another_is_unused() {
    let (subjects, now) = (subjects(160), clock::monotonic());
    let source = subjects.source("jwt", "i", allowance(1, Some(2)));
    assert!(ask(&source, "i#user", now) && ask(&source, "i#user", now + Duration::from_secs(1)));
    // They only look, and are full a day later.
    let later = now + Duration::from_secs(24 * 60 * 60);
    for number in 0..10_000 {
        let standing = source.standing(&Arc::from(format!("i#{number}")));
        let Some(Held::Subject(subject)) = standing.account else { panic!("it is limited") };
        drop(subject.lock(later));
    }
    assert!(!ask(&source, "i#user", later), "its quota is used up");
}

proptest! {
    #[test]
    fn however_many_come_no_more_is_given_than_all_places_may_have(
        asks in prop::collection::vec((0_u32..400, 0_u64..3), 1..600),
        burst in 1_u64..5,
        quota in prop::option::of(1_u64..20),
    ) {
        let (subjects, start) = (subjects(32), clock::monotonic());
        let source = subjects.source("jwt", "i", allowance(burst, quota));
        let (mut now, mut taken) = (start, 0_u64);
        for (name, seconds) in asks {
            now += Duration::from_secs(seconds);
            taken += u64::from(ask(&source, &format!("i#{name}"), now));
        }
        let seconds = now.duration_since(start).as_secs();
        prop_assert!(subjects.len() <= 32);
        prop_assert!(taken <= 32 * (burst + seconds), "{taken}");
        if let Some(quota) = quota {
            prop_assert!(taken <= 32 * quota, "{taken} of {}", 32 * quota);
        }
    }
}
