mod faults;
mod model;
mod random;

use std::path::Path;

use super::*;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::RealDisk;

fn at(position: u64) -> SequenceNumber {
    SequenceNumber(position)
}

fn epoch(number: u32, from: u64) -> Entry {
    let config = serde_json::json!({ "prefix": "dt=!{timestamp:yyyy}/", "epoch": number });
    Entry::Epoch(Epoch { number, config, from: vec![(ShardId(0), at(from)), (ShardId(1), at(from))] })
}

/// A file of partition `p` with every number of shard 0 from `first` to `last`.
fn seal(number: u64, first: u64, last: u64) -> Seal {
    let records = last - first + 1;
    let range = SealedRange { shard: ShardId(0), first: at(first), last: at(last), records };
    Seal {
        number,
        epoch: 1,
        partition: b"p\0\xff".to_vec(),
        folder: "p/".into(),
        ranges: vec![range],
        records,
        key: format!("p/s-d-{number}"),
        guard: None,
        dead: None,
        passed: false,
        reason: "age".into(),
        oldest: UnixMicros(5),
    }
}

fn sealed(number: u64, first: u64, last: u64) -> Entry {
    Entry::Seal(seal(number, first, last))
}

fn committed(number: u64) -> Entry {
    Entry::Commit(Commit { number, etag: Some("\"e\"".into()), bytes: 10 })
}

fn cursor(position: u64) -> Entry {
    Entry::Cursor(Cursor { positions: vec![(ShardId(0), at(position))] })
}

fn open(folder: &Path) -> (Ledger, State) {
    Ledger::open(Arc::new(RealDisk), folder.to_path_buf()).unwrap()
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s/d");
    let (ledger, state) = open(&path);
    assert_eq!(state, State::default());
    ledger.append(vec![epoch(1, 100)]).await.unwrap();
    ledger.append(vec![sealed(0, 100, 109), sealed(1, 110, 119)]).await.unwrap();
    let multipart = Entry::Multipart(Multipart { number: 1, upload: "u".into() });
    ledger.append(vec![committed(0), cursor(110), multipart]).await.unwrap();
    let before = ledger.state();
    drop(ledger);
    let (ledger, state) = open(&path);
    assert_eq!(state, before);
    assert_eq!((state.committed_records, state.next_seal), (10, 2));
    assert_eq!(
        state.open[&1],
        OpenSeal { seal: seal(1, 110, 119), multiparts: vec!["u".into()], lost: vec![] }
    );
    assert!(state.is_settled(1, b"p\0\xff", ShardId(0), at(119)));
    assert!(!state.is_settled(1, b"p\0\xff", ShardId(0), at(120)));
    assert!(!state.is_settled(1, b"q", ShardId(0), at(119)));
    ledger.append(vec![committed(1), cursor(120)]).await.unwrap();
    drop(ledger);
    let (_, state) = open(&path);
    assert_eq!((state.committed_records, state.open.len(), state.settled_len()), (20, 0, 0));
}

#[tokio::test]
async fn what_a_file_has_lost_is_not_committed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path());
    let lost = |shard, lost| Entry::Lost(Lost { number: 0, shards: vec![(ShardId(shard), lost)] });
    ledger.append(vec![epoch(1, 100), sealed(0, 100, 109)]).await.unwrap();
    for impossible in [lost(0, 11), lost(1, 1)] {
        let refused = ledger.append(vec![impossible]).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Refused(Refusal::Lost { number: 0, .. })), "{refused}");
    }
    ledger.append(vec![lost(0, 3)]).await.unwrap();
    ledger.append(vec![lost(0, 4)]).await.unwrap();
    drop(ledger);
    let (ledger, state) = open(folder.path());
    assert_eq!((state.open[&0].records(), &*state.open[&0].lost), (6, &[(ShardId(0), 4)][..]));
    ledger.append(vec![committed(0), cursor(110)]).await.unwrap();
    drop(ledger);
    let (_, state) = open(folder.path());
    assert_eq!((state.committed_records, state.shards[&ShardId(0)].delivered), (6, 6));
}

#[test]
fn an_append_that_is_refused_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path());
    ledger.append_blocking(&[epoch(1, 100)]).unwrap();
    let before = ledger.state();
    let refused = ledger.append_blocking(&[sealed(0, 100, 109), committed(7)]);
    assert!(matches!(refused, Err(LedgerError::Refused(Refusal::UnknownSeal { number: 7 }))), "{refused:?}");
    assert_eq!(ledger.state(), before);
    ledger.append_blocking(&[sealed(0, 100, 109)]).unwrap();
    drop(ledger);
    assert_eq!(open(folder.path()).1.open.len(), 1);
}

#[test]
fn a_begun_file_keeps_its_number_and_its_uploads_for_its_seal_whatever_is_closed_before() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("s/d");
    let begun = |number, key: &str| Entry::Begun(Begun { number, epoch: 1, key: key.into() });
    let upload = |upload: &str| Entry::Multipart(Multipart { number: 0, upload: upload.into() });
    let of_begun = |key: &str, first| Seal {
        number: 0,
        key: key.into(),
        guard: Some(u64::MAX),
        ..seal(0, first, first)
    };
    let ledger = open(&disk).0;
    ledger.append_blocking(&[epoch(1, 100), begun(0, "large"), begun(1, "left"), upload("a")]).unwrap();
    ledger
        .append_blocking(&[Entry::Seal(Seal { partition: b"other".to_vec(), ..seal(2, 100, 120) })])
        .unwrap();
    let refused = [
        begun(1, "late"),
        begun(2, "late"),
        Entry::Seal(of_begun("other", 100)),
        Entry::Dropped(Dropped { numbers: vec![7] }),
    ];
    for entry in refused {
        assert!(
            matches!(ledger.append_blocking(std::slice::from_ref(&entry)), Err(LedgerError::Refused(_))),
            "{entry:?}"
        );
    }
    drop(ledger);
    let (ledger, state) = open(&disk);
    assert_eq!((state.begun.keys().copied().collect::<Vec<_>>(), state.next_seal), (vec![0, 1], 3));
    ledger
        .append_blocking(&[
            Entry::Seal(of_begun("large", 100)),
            upload("b"),
            Entry::Dropped(Dropped { numbers: vec![1] }),
        ])
        .unwrap();
    drop(ledger);
    let state = open(&disk).1;
    assert!(state.begun.is_empty());
    assert_eq!(state.open[&0].multiparts, ["a", "b"]);
    assert_eq!(state.open[&0].seal.guard, Some(u64::MAX));
}
