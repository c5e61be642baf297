//! Byte runs: a header of 0 to 127 stands for 3 to 130 times the byte behind it, a header of -1 to -128 for 1 to 128
//! bytes as they are.

const RUN_MIN: usize = 3;
const RUN_MAX: usize = 130;
const LITERALS_MAX: usize = 128;

/// Appends `values` in runs to `out`.
pub(in super::super) fn put(mut values: &[u8], out: &mut Vec<u8>) {
    while let Some(first) = values.first() {
        let run = values.iter().take(RUN_MAX).take_while(|value| *value == first).count();
        if run >= RUN_MIN {
            out.extend_from_slice(&[(run - RUN_MIN) as u8, *first]);
            values = &values[run..];
            continue;
        }
        let window = &values[..values.len().min(LITERALS_MAX)];
        let next_run = window.windows(RUN_MIN).position(|three| three[0] == three[1] && three[1] == three[2]);
        let (literals, rest) = values.split_at(next_run.unwrap_or(window.len()));
        out.push((literals.len() as u8).wrapping_neg());
        out.extend_from_slice(literals);
        values = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decoder;
    use super::*;

    fn encoded(values: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(values, &mut out);
        out
    }

    #[test]
    fn runs_are_those_of_the_specification() {
        assert_eq!(encoded(&[0; 100]), [0x61, 0x00]);
        assert_eq!(encoded(&[0x44, 0x45]), [0xfe, 0x44, 0x45]);
        assert!(encoded(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn bytes_are_read_back(runs in prop::collection::vec((0..4_u8, 1..300_usize), 0..20)) {
            let values: Vec<u8> = runs.iter().flat_map(|(value, length)| vec![*value; *length / 40 + 1]).collect();
            prop_assert_eq!(decoder::bytes(&encoded(&values)), values);
            let long: Vec<u8> = runs.iter().flat_map(|(value, length)| vec![*value; *length]).collect();
            prop_assert_eq!(decoder::bytes(&encoded(&long)), long);
        }

        #[test]
        fn noise_grows_by_one_byte_in_128(values in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let stored = encoded(&values);
            prop_assert!(stored.len() <= values.len() + values.len().div_ceil(64));
            prop_assert_eq!(decoder::bytes(&stored), values);
        }
    }
}
