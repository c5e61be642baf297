//! How far a reader of dead letters is, as it is told and told back: one opaque word.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Everything before it was looked at: all of deliveries whose names come before, files of this one that were stored
/// before, and the first lines of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The delivery.
    pub delivery: String,
    /// The file.
    pub file: FileName,
    /// The line to go on with, from 0; `None` behind the last one.
    pub row: Option<u64>,
}

/// What tells a file from the others of its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileName {
    /// Its number in the ledger.
    Sealed(u64),
    /// Its key, where there is no ledger.
    Listed(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.row.map_or_else(String::new, |row| row.to_string());
        let text = match &self.file {
            FileName::Sealed(number) => format!("{}/{row}/n{number}", self.delivery),
            FileName::Listed(key) => format!("{}/{row}/k{key}", self.delivery),
        };
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

impl Place {
    /// Reads what [`Place`] is written as.
    pub fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, '/');
        let (delivery, row, file) = (parts.next()?, parts.next()?, parts.next()?);
        let row = match row {
            "" => None,
            row => Some(row.parse().ok()?),
        };
        let file = match file.split_at_checked(1)? {
            ("n", number) => FileName::Sealed(number.parse().ok()?),
            ("k", key) => FileName::Listed(key.to_owned()),
            _ => return None,
        };
        Some(Self { delivery: delivery.to_owned(), file, row })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_comes_back_as_it_was(
            delivery in "[a-z0-9._-]{1,9}",
            file in prop_oneof![
                any::<u64>().prop_map(FileName::Sealed),
                "\\PC{0,20}".prop_map(FileName::Listed),
            ],
            row in any::<Option<u64>>(),
        ) {
            let place = Place { delivery, file, row };
            let text = place.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
            prop_assert_eq!(Place::parse(&text), Some(place));
        }

        #[test]
        fn any_other_text_is_a_place_or_none(text in "\\PC{0,40}") {
            let _ = Place::parse(&text);
            let _ = Place::parse(&URL_SAFE_NO_PAD.encode(text));
        }
    }
}
