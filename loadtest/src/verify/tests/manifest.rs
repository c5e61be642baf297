//! What a manifest says has to be there.

use super::*;

pub(super) fn manifest(acked: &[(u64, u64)], uncertain: &[(u64, u64)], refused: &[(u64, u64)]) -> Manifest {
    let set = |ranges: &[(u64, u64)]| RangeSet::try_from(ranges.to_vec()).unwrap();
    let account = Account {
        producer: "iot/t/0".into(),
        acked: set(acked),
        unknown: RangeSet::default(),
        uncertain: set(uncertain),
        refused: [("throttled".to_owned(), set(refused))].into(),
    };
    Manifest { version: MANIFEST_VERSION, producers: vec![account], ..Manifest::default() }
}

#[test]
fn a_manifest_says_what_has_to_be_there_and_what_may() {
    let (lake, made) = (lake(), records(Profile::Iot));
    let with = |manifest: Manifest| judge_with(lake.path(), vec![manifest], KeyRule::Profile);
    put(&lake, "1.json.gz", &gzip(&[&made[..100], &made[90..95], &made[200..300]]));
    // Without it: a gap, and duplicates.
    assert_eq!(counts(&judge(&lake)), [100, 5, 0, 0]);
    // Refused records are not missed, and uncertain ones may be there twice, once, or not at all.
    let verdict = with(manifest(&[(0, 99), (200, 289)], &[(80, 99), (290, 310)], &[(100, 199)]));
    assert!(verdict.ok, "{verdict}");
    assert_eq!((verdict.uncertain_duplicated, verdict.unknown_present, verdict.expected), (5, 10, 190));
    // An acked record is not there; one that was refused is.
    let verdict = with(manifest(&[(0, 99), (200, 300)], &[(90, 94)], &[]));
    assert_eq!(counts(&verdict), [1, 0, 0, 0], "{verdict}");
    let verdict = with(manifest(&[(0, 99), (200, 298)], &[(90, 94)], &[(299, 299)]));
    assert_eq!((counts(&verdict), verdict.unacked, verdict.ok), ([0; 4], 1, false));
    // A producer of another run: only its gaps are left alone.
    let mut other = manifest(&[(0, 99)], &[], &[]);
    other.producers[0].producer = "iot/other/0".into();
    let verdict = with(other);
    assert_eq!((counts(&verdict), verdict.producers_without_manifest), ([100, 5, 0, 0], 1));
}

#[test]
fn an_unknown_record_is_there_once_or_not_at_all() {
    let (lake, made) = (lake(), records(Profile::Iot));
    let with = |unknown: (u64, u64)| {
        let mut manifest = manifest(&[(0, 99)], &[], &[]);
        manifest.producers[0].unknown.insert(unknown.0, unknown.1);
        judge_with(lake.path(), vec![manifest], KeyRule::Profile)
    };
    put(&lake, "1.json.gz", &gzip(&[&made[..120]]));
    let verdict = with((100, 200));
    assert!(verdict.ok && verdict.unknown_present == 20, "{verdict}");
    assert_eq!((with((110, 200)).unacked, with((110, 200)).unknown_present), (10, 10));
    put(&lake, "2.json.gz", &gzip(&[&made[115..120]]));
    assert_eq!(counts(&with((100, 200))), [0, 5, 0, 0]);
}

#[test]
fn an_uncertain_record_may_be_out_of_order() {
    let (lake, made) = (lake(), records(Profile::Iot));
    put(&lake, "1.json.gz", &gzip(&[&made[..50], &made[60..100], &made[50..60], &made[100..]]));
    assert_eq!(counts(&judge(&lake)), [0, 0, 10, 0]);
    let verdict = judge_with(lake.path(), vec![manifest(&[(0, 2_999)], &[(50, 59)], &[])], KeyRule::Profile);
    assert!(verdict.ok, "{verdict}");
}

/// The second would hide what the first has acked.
#[test]
fn two_manifests_of_one_producer_are_refused() {
    let (lake, made) = (lake(), records(Profile::Iot));
    put(&lake, "1.json.gz", &gzip(&[&made[..5]]));
    let of = |manifests: Vec<Manifest>| Plan {
        lakes: vec![lake.path().to_str().unwrap().to_owned()],
        options: vec![],
        manifests,
        key: KeyRule::Profile,
        errors_folder: "errors".into(),
        jobs: 1,
    };
    let (more, less) = (manifest(&[(0, 9)], &[], &[]), manifest(&[(0, 4)], &[], &[]));
    let missing = |manifest: &Manifest| verify(&of(vec![manifest.clone()]), &mut |_| {}).unwrap()[0].missing;
    assert_eq!((missing(&more), missing(&less)), (5, 0));
    for manifests in [vec![more.clone(), less.clone()], vec![less, more.clone()], vec![more.clone(), more]] {
        let refused = verify(&of(manifests), &mut |_| {});
        assert!(matches!(&refused, Err(VerifyError::Producer(name)) if name == "iot/t/0"), "{refused:?}");
    }
}
