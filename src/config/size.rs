//! Sizes in bytes: `64MiB`.

use std::fmt;

use super::quantity::{QuantityError, Units};

const BINARY: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

const UNITS: Units = Units {
    kind: "size",
    example: "64MiB",
    smaller: "1536KiB",
    bare: ("B", "bytes"),
    factors: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
};

/// Bytes from a text such as `64MiB`, `10MB` or `512B`.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    UNITS.parse(text)
}

/// Bytes, printed exactly in the largest binary unit that divides them: `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Units::print(self.0, &BINARY))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("1KiB", 1024),
            ("64MiB", 64 << 20),
            (" 2 GiB ", 2 << 30),
            ("10MB", 10_000_000),
            ("1TB", 1_000_000_000_000),
            ("18446744073709551615B", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_wrong_size_says_what_to_write() {
        for (text, message) in [
            ("", r#""" is no size: write a whole number and a unit, such as "64MiB""#),
            ("big", r#""big" is no size: write a whole number and a unit, such as "64MiB""#),
            ("-1MiB", r#""-1MiB" is no size: write a whole number and a unit, such as "64MiB""#),
            ("1.5GiB", r#""1.5GiB" is no whole number: write it in a smaller unit, such as "1536KiB""#),
            (
                "64",
                r#""64" has no unit: write 64B if bytes are meant; the units are B, KiB, MiB, GiB, TiB, kB, KB, MB, GB, TB"#,
            ),
            ("64mb", r#""mb" is no unit of a size: the units are B, KiB, MiB, GiB, TiB, kB, KB, MB, GB, TB"#),
            ("18446744073709551616B", r#""18446744073709551616B" is too large"#),
            ("99999999TiB", r#""99999999TiB" is too large"#),
        ] {
            assert_eq!(parse_size(text).expect_err(text).to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: u64) {
            prop_assert_eq!(parse_size(&Size(bytes).to_string()), Ok(bytes));
        }
    }
}
