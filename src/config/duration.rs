//! Durations: `500ms`, `60s`, `24h`.

use std::time::Duration;

use super::quantity::{QuantityError, Units};

const FACTORS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const UNITS: Units =
    Units { kind: "duration", example: "60s", smaller: "90s", bare: ("s", "seconds"), factors: &FACTORS };

/// A duration in whole milliseconds from a text such as `500ms`, `60s`, `10m`, `24h` or `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    UNITS.parse(text).map(Duration::from_millis)
}

/// The shortest exact form of whole milliseconds: `1m` for a minute.
pub fn print_duration(duration: Duration) -> String {
    Units::print(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &FACTORS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, millis) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("7d", 7 * 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_says_what_to_write() {
        for (text, message) in [
            ("soon", r#""soon" is no duration: write a whole number and a unit, such as "60s""#),
            ("1.5m", r#""1.5m" is no whole number: write it in a smaller unit, such as "90s""#),
            ("60", r#""60" has no unit: write 60s if seconds are meant; the units are ms, s, m, h, d"#),
            ("60sec", r#""sec" is no unit of a duration: the units are ms, s, m, h, d"#),
            ("1h30m", r#""h30m" is no unit of a duration: the units are ms, s, m, h, d"#),
            ("999999999999999999d", r#""999999999999999999d" is too large"#),
        ] {
            assert_eq!(parse_duration(text).expect_err(text).to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&print_duration(duration)), Ok(duration));
        }
    }
}
