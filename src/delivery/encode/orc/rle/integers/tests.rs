use proptest::prelude::*;

use super::super::decoder;
use super::*;

fn encoded(values: &[i64], sign: Sign) -> Vec<u8> {
    let mut out = Vec::new();
    put(values, sign, &mut out);
    out
}

/// The two highest bits of each run of `stored`, which has but one.
fn form(stored: &[u8]) -> u8 {
    stored[0] >> 6
}

#[test]
fn runs_are_those_of_the_specification() {
    assert_eq!(encoded(&[10_000; 5], Sign::Unsigned), [0x0a, 0x27, 0x10]);
    let direct = [23_713, 43_806, 57_005, 48_879];
    let stored = [0x5e, 0x03, 0x5c, 0xa1, 0xab, 0x1e, 0xde, 0xad, 0xbe, 0xef];
    assert_eq!(encoded(&direct, Sign::Unsigned), stored);
    let rising = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29];
    assert_eq!(encoded(&rising, Sign::Unsigned), [0xc6, 0x09, 0x02, 0x02, 0x22, 0x42, 0x42, 0x46]);
    let mut patched: Vec<i64> = (0..18).map(|index| 2_020 + index * 10).collect();
    patched.splice(0..0, [2_030, 2_000]);
    patched[3] = 1_000_000;
    let stored = [
        0x8e, 0x13, 0x2b, 0x21, 0x07, 0xd0, 0x1e, 0x00, 0x14, 0x70, 0x28, 0x32, 0x3c, 0x46, 0x50, 0x5a, 0x64,
        0x6e, 0x78, 0x82, 0x8c, 0x96, 0xa0, 0xaa, 0xb4, 0xbe, 0xfc, 0xe8,
    ];
    assert_eq!(encoded(&patched, Sign::Unsigned), stored);
}

#[test]
fn each_kind_of_values_takes_its_form() {
    let noise = |index: i64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 40;
    let small: Vec<i64> = (0..500).map(noise).collect();
    assert_eq!(form(&encoded(&small, Sign::Signed)), 1);
    let mut outliers: Vec<i64> = small.iter().map(|value| value & 0xff).collect();
    outliers[400] = i64::MAX / 2;
    let stored = encoded(&outliers, Sign::Signed);
    assert_eq!(form(&stored), 2);
    assert!(stored.len() < 540, "{}", stored.len());
    let rising: Vec<i64> = (0..500).map(|index| index * 3).collect();
    assert_eq!(encoded(&rising, Sign::Signed).len(), 4);
    assert_eq!(encoded(&[-7; 512], Sign::Signed).len(), 4);
    assert_eq!(encoded(&[7; 10], Sign::Signed).len(), 2);
}

#[test]
fn a_repetition_inside_of_noise_is_cut_out() {
    let mut values: Vec<i64> = (0..100).map(|index| (index * 7_919) % 251).collect();
    values.splice(50..50, [9; 200]);
    assert!(encoded(&values, Sign::Unsigned).len() < 115);
}

#[test]
fn the_ends_of_the_range_are_read_back() {
    let (low, high) = (i64::MIN, i64::MAX);
    let cases: [&[i64]; 9] = [
        &[],
        &[low],
        &[high, low],
        &[low, high, low, 0, -1, 1],
        &[low, low + 1, low + 2],
        &[low; 11],
        &[high; 3],
        &[0, high, high, high],
        &[-1, low, low, low],
    ];
    for case in cases {
        assert_eq!(decoder::integers(&encoded(case, Sign::Signed), true), case);
    }
    let mut patched = vec![low + 5; 300];
    patched.extend((0..200).map(|index| low + 300 - index % 7));
    assert_eq!(decoder::integers(&encoded(&patched, Sign::Signed), true), patched);
}

/// Stretches of very different kinds, as real columns have them.
fn stretches() -> impl Strategy<Value = Vec<i64>> {
    let stretch = (any::<i64>(), 0..64_u32, 1..400_usize, 0..6_u8).prop_map(|(seed, shift, length, kind)| {
        let noise = move |index: i64| (seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
        let value = move |index: i64| match kind {
            0 => seed >> shift,
            1 => noise(index) >> shift,
            2 => (seed >> 8).wrapping_add(index.wrapping_mul(seed >> 48)),
            3 if index % 37 == 0 => noise(index) >> shift,
            3 => (seed >> 16) + (noise(index) & 0xff),
            4 => (seed >> 20) - index * index,
            _ => noise(index / 5) >> shift,
        };
        (0..length as i64).map(value).collect::<Vec<_>>()
    });
    prop::collection::vec(stretch, 0..6).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn signed_integers_are_read_back(values in stretches()) {
        prop_assert_eq!(decoder::integers(&encoded(&values, Sign::Signed), true), values);
    }

    #[test]
    fn unsigned_integers_are_read_back(values in stretches()) {
        let values: Vec<i64> = values.iter().map(|value| value & i64::MAX).collect();
        prop_assert_eq!(decoder::integers(&encoded(&values, Sign::Unsigned), false), values);
    }

    #[test]
    fn repetitions_are_read_back(value in any::<i64>(), count in 0..2_000_usize) {
        let mut out = Vec::new();
        put_repeated(value, count, Sign::Signed, &mut out);
        prop_assert_eq!(decoder::integers(&out, true), vec![value; count]);
    }
}
