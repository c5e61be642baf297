use super::*;
use crate::runtime::disk::RealDisk;

fn intent(id: u64, rows: &[u64], attempt: u32) -> Intent {
    Intent {
        id,
        at: UnixMicros(5),
        file: "s/d/errors/1.json.gz".to_owned(),
        rows: Rows::of(rows.iter().copied()),
        to: "s".to_owned(),
        attempt,
        idempotency_key: format!("k{id}"),
    }
}

fn sent(id: u64, landed: (u64, u64), refused: &[u64]) -> Sent {
    let landed = vec![(ShardId(1), SequenceNumber(landed.0), SequenceNumber(landed.1))];
    Sent { id, landed, refused: Rows::of(refused.iter().copied()) }
}

/// A journal with one request that was taken but for a line, one that was not, and one that is open.
fn written(path: &Path) -> Vec<u8> {
    let mut journal = Journal::open(&RealDisk, path).unwrap();
    journal.intend(intent(0, &[0, 1, 2, 9], 1)).unwrap();
    journal.sent(sent(0, (100, 102), &[2])).unwrap();
    journal.intend(intent(1, &[3], 2)).unwrap();
    journal.void(1).unwrap();
    journal.intend(intent(2, &[4, 5], 1)).unwrap();
    std::fs::read(path).unwrap()
}

fn check(known: &Known) {
    let is_sent: Vec<u64> = (0..12).filter(|&row| known.is_sent("s/d/errors/1.json.gz", "s", row)).collect();
    assert_eq!(is_sent, [0, 1, 9]);
    assert!(!known.is_sent("s/d/errors/1.json.gz", "other", 0) && !known.is_sent("s/d/2", "s", 0));
    let attempts = |number| known.attempts("s", ShardId(1), SequenceNumber(number));
    assert_eq!([99, 100, 102, 103].map(attempts), [0, 1, 1, 0]);
    assert_eq!(known.attempts("s", ShardId(0), SequenceNumber(100)), 0);
}

#[test]
fn a_journal_remembers_what_was_sent_and_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/replay.journal");
    written(&path);
    let known = Journal::look_at(&RealDisk, &path).unwrap();
    check(&known);
    assert_eq!(known.open_of("s/d/errors/1.json.gz"), [intent(2, &[4, 5], 1)]);
    let journal = Journal::open(&RealDisk, &path).unwrap();
    assert_eq!(journal.next_id(), 3);
    assert!(matches!(Journal::open(&RealDisk, &path), Err(JournalError::InUse { .. })));
}

#[test]
fn a_line_that_was_cut_short_is_cut_and_the_journal_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replay.journal");
    let whole = written(&path);
    let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for cut in last..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = Journal::open(&RealDisk, &path).unwrap();
        check(&journal.known);
        assert!(journal.known.open_of("s/d/errors/1.json.gz").is_empty(), "{cut}");
        journal.intend(intent(2, &[4, 5], 1)).unwrap();
        drop(journal);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
    }
}

#[test]
fn damage_before_the_last_line_is_named_and_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replay.journal");
    let whole = written(&path);
    let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for at in (0..last).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let line = whole[..at].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        match Journal::open(&RealDisk, &path) {
            Err(JournalError::Damaged { line: found, .. }) => assert_eq!(found, line, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "it is left as it is");
    }
}
