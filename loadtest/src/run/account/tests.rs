use bytes::Bytes;

use super::*;

fn settled(fates: &[Fate]) -> (Account, Counts) {
    doubted(fates, Doubt::default())
}

fn doubted(fates: &[Fate], doubt: Doubt) -> (Account, Counts) {
    let (mut account, mut counts) = (Account::default(), Counts::default());
    for (index, fate) in fates.iter().enumerate() {
        let first = index as u64 * 10;
        let bytes = Bytes::new();
        let body = Body { bytes, body_bytes: 0, payload_bytes: 1_000, producer: 0, first, records: 10 };
        settle(&mut account, &mut counts, &body, fate, doubt);
    }
    (account, counts)
}

fn taken(refused: &[u64], unlisted: u64) -> Fate {
    let refused = refused.iter().map(|&index| (index, "schema".to_owned())).collect();
    Fate::Answered(Answer::Taken { refused, unlisted, durability: None })
}

#[test]
fn each_record_of_a_request_that_was_taken_in_part_is_either_acked_or_refused() {
    let (account, counts) = settled(&[taken(&[0, 3, 4, 9], 0), taken(&[], 0)]);
    assert_eq!(Vec::from(account.acked), [(1, 2), (5, 8), (10, 19)]);
    assert_eq!(Vec::from(account.refused["schema"].clone()), [(0, 0), (3, 4), (9, 9)]);
    assert_eq!((counts.acked, counts.refused, counts.payload_bytes), (16, 4, 1_600));
    let (account, counts) = settled(&[taken(&(0..10).collect::<Vec<_>>(), 0)]);
    assert!(account.acked.is_empty());
    assert_eq!((counts.acked, counts.refused), (0, 10));
}

#[test]
fn refusals_without_a_name_make_the_rest_of_the_request_unknown() {
    let (account, counts) = settled(&[taken(&[2], 1)]);
    assert!(account.acked.is_empty());
    assert_eq!(Vec::from(account.unknown), [(0, 1), (3, 9)]);
    assert_eq!((counts.acked, counts.refused, counts.unknown), (0, 1, 9));
}

#[test]
fn what_nobody_answered_is_unknown_and_what_was_refused_is_not() {
    let unknown = Fate::Answered(Answer::Unknown { code: "internal".into(), retry: None });
    let refused = Fate::Answered(Answer::Refused { code: "throttled".into(), retry: None });
    let (account, counts) = settled(&[Fate::Lost, unknown, refused, Fate::NotSent]);
    assert_eq!(Vec::from(account.unknown), [(0, 19)]);
    assert_eq!(Vec::from(account.refused["throttled"].clone()), [(20, 29)]);
    assert_eq!(Vec::from(account.refused[NOT_SENT].clone()), [(30, 39)]);
    assert_eq!((counts.unknown, counts.refused, counts.acked), (20, 20, 0));
}

fn endings() -> [Fate; 4] {
    let refused = Fate::Answered(Answer::Refused { code: "draining".into(), retry: None });
    [refused, Fate::NotSent, Fate::Lost, taken(&[], 0)]
}

#[test]
fn a_refusal_behind_a_try_that_nobody_answered_says_nothing_about_that_try() {
    let (account, counts) = doubted(&endings(), Doubt { is_open: true, is_repeated: false });
    assert_eq!((Vec::from(account.unknown), Vec::from(account.acked)), (vec![(0, 29)], vec![(30, 39)]));
    assert!(account.refused.is_empty() && account.uncertain.is_empty());
    assert_eq!((counts.unknown, counts.refused, counts.acked, counts.uncertain), (30, 0, 10, 0));
}

#[test]
fn what_was_sent_again_without_a_key_may_be_there_twice() {
    let (account, counts) = doubted(&endings(), Doubt { is_open: true, is_repeated: true });
    assert_eq!((Vec::from(account.uncertain), Vec::from(account.acked)), (vec![(0, 39)], vec![(30, 39)]));
    assert!(account.refused.is_empty() && account.unknown.is_empty());
    assert_eq!((counts.unknown, counts.refused, counts.acked, counts.uncertain), (30, 0, 10, 40));
}

#[test]
fn a_server_cannot_fill_memory_with_codes() {
    let refused = |code: usize| Fate::Answered(Answer::Refused { code: code.to_string(), retry: None });
    let (account, _) = settled(&(0..1_000).map(refused).collect::<Vec<_>>());
    assert_eq!(account.refused.len(), CODES_MAX + 1);
    let mut tally = Tally::new(forebay::runtime::clock::monotonic(), 1);
    (0..1_000).for_each(|code: u16| tally.error(400, &code.to_string()));
    assert_eq!(tally.errors.len(), CODES_MAX + 1);
    assert_eq!(tally.errors.values().sum::<u64>(), 1_000);
}

#[test]
fn tallies_add_up() {
    let mut tally = Tally::new(forebay::runtime::clock::monotonic(), 1);
    tally.service.record(Duration::from_millis(5));
    tally.counts.acked = 3;
    let mut sum = tally.clone();
    sum.merge(tally);
    assert_eq!((sum.counts.acked, sum.service.histogram().len()), (6, 2));
}
