use super::*;

fn encoded(detail: Detail) -> Vec<u8> {
    Statistics { values: 2, has_null: true, detail }.encode().as_slice().to_vec()
}

fn floats(values: &[f64]) -> Floats {
    let mut floats = Floats::default();
    values.iter().for_each(|value| floats.add(*value));
    floats
}

#[test]
fn integers_tell_a_sum_only_if_it_fits() {
    let mut numbers = Numbers::default();
    numbers.add(&[3, -2]);
    assert_eq!(encoded(Detail::Integer(numbers)), [8, 2, 0x12, 6, 8, 3, 16, 6, 24, 2, 0x50, 1]);
    numbers.add(&[i64::MAX, i64::MAX]);
    let without_sum = encoded(Detail::Integer(numbers));
    assert_eq!(without_sum[3], 13, "only the smallest and the largest: {without_sum:?}");
    numbers.add(&[-i64::MAX, -i64::MAX]);
    assert_eq!(numbers.sum, 1);
}

#[test]
fn without_a_value_nothing_is_told_of_values() {
    let statistics = Statistics { values: 0, has_null: true, detail: Detail::Integer(Numbers::default()) };
    assert_eq!(statistics.encode().as_slice(), [8, 0, 0x12, 0, 0x50, 1]);
}

#[test]
fn a_nan_takes_the_place_of_the_range() {
    let message = floats(&[1.0, f64::NAN, 2.0]).encode();
    assert_eq!(message.as_slice()[0], 3 << 3 | 1, "a sum alone");
    assert_eq!(message.as_slice().len(), 9);
    let mut merged = floats(&[1.0]);
    merged.merge(&floats(&[f64::NAN]));
    assert!(merged.has_nan);
}

#[test]
fn the_range_of_zeros_has_both_of_them() {
    for zero in [0.0, -0.0] {
        let message = floats(&[zero]).encode();
        assert_eq!(message.as_slice()[1..9], (-0.0_f64).to_le_bytes());
        assert_eq!(message.as_slice()[10..18], 0.0_f64.to_le_bytes());
    }
    assert_eq!(floats(&[f64::MAX, f64::MAX]).encode().as_slice().len(), 18, "an endless sum is left out");
}

#[test]
fn decimals_are_text_without_needless_digits() {
    let cases =
        [(0, 2, "0"), (125, 2, "1.25"), (-5, 2, "-0.05"), (1_200, 2, "12"), (-7, 0, "-7"), (110, 3, "0.11")];
    for (value, scale, text) in cases {
        assert_eq!(decimal_text(value, scale), text);
    }
    assert_eq!(decimal_text(i128::from(u64::MAX), 0), "18446744073709551615");
}

#[test]
fn a_decimal_sum_of_39_digits_is_not_told() {
    let mut decimals = Decimals::default();
    let most = (DECIMAL_END - 1).cast_signed();
    decimals.add(most);
    assert_eq!(decimals.sum, Some(most));
    decimals.add(1);
    assert_eq!((decimals.sum, decimals.min, decimals.max), (None, 1, most));
}

#[test]
fn times_are_told_to_the_nanosecond() {
    let numbers = Numbers { min: -1, max: 1_999_999, sum: 0 };
    let message = timestamp(&numbers, TimeUnit::Nanosecond);
    // -1 ms and 999,999 ns (told as 1,000,000); 1 ms and 999,999 ns, which is what readers assume.
    assert_eq!(message.as_slice(), [24, 1, 32, 2, 40, 0xc0, 0x84, 0x3d]);
    let message = timestamp(&numbers, TimeUnit::Millisecond);
    assert_eq!(message.as_slice()[..2], [24, 1]);
    assert_eq!(message.as_slice()[message.as_slice().len() - 2..], [48, 1]);
}
