//! A whole number with a unit behind it: what sizes and durations have in common.

use thiserror::Error;

/// Why a text is no size or no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// There are no digits in front.
    #[error("{text:?} is no {kind}: write a whole number and a unit, such as {example:?}")]
    NotANumber {
        /// What was written.
        text: String,
        /// `size` or `duration`.
        kind: &'static str,
        /// What a right one looks like.
        example: &'static str,
    },
    /// There is a point.
    #[error("{text:?} is no whole number: write it in a smaller unit, such as {example:?}")]
    Fraction {
        /// What was written.
        text: String,
        /// What a right one looks like.
        example: &'static str,
    },
    /// There is nothing behind the digits.
    #[error("{text:?} has no unit: write {text}{unit} if {unit_name} are meant; the units are {units}")]
    NoUnit {
        /// What was written.
        text: String,
        /// The unit that is likely meant.
        unit: &'static str,
        /// Its name in the plural.
        unit_name: &'static str,
        /// All units.
        units: String,
    },
    /// The unit is not known.
    #[error("{unit:?} is no unit of a {kind}: the units are {units}")]
    UnknownUnit {
        /// What was written behind the digits.
        unit: String,
        /// `size` or `duration`.
        kind: &'static str,
        /// All units.
        units: String,
    },
    /// It does not fit 64 bits in the smallest unit.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// The units of one kind of quantity.
pub(super) struct Units {
    pub kind: &'static str,
    pub example: &'static str,
    /// For [`QuantityError::Fraction`]: one and a half of something, in a smaller unit.
    pub smaller: &'static str,
    /// The unit that a bare number most likely means, and its name in the plural.
    pub bare: (&'static str, &'static str),
    /// Names and factors, the exact spelling first.
    pub factors: &'static [(&'static str, u64)],
}

impl Units {
    /// The number times the unit's factor, exactly.
    pub fn parse(&self, text: &str) -> Result<u64, QuantityError> {
        let trimmed = text.trim();
        let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        let unit = unit.trim_start();
        if digits.is_empty() {
            let text = text.to_owned();
            return Err(QuantityError::NotANumber { text, kind: self.kind, example: self.example });
        }
        if unit.starts_with(['.', ',']) {
            return Err(QuantityError::Fraction { text: text.to_owned(), example: self.smaller });
        }
        if unit.is_empty() {
            let (unit, unit_name) = self.bare;
            return Err(QuantityError::NoUnit {
                text: trimmed.to_owned(),
                unit,
                unit_name,
                units: self.names(),
            });
        }
        let factor = self.factors.iter().find(|(name, _)| *name == unit).map(|&(_, factor)| factor);
        let Some(factor) = factor else {
            let unit = unit.to_owned();
            return Err(QuantityError::UnknownUnit { unit, kind: self.kind, units: self.names() });
        };
        let number = digits.parse::<u64>().ok();
        number.and_then(|number| number.checked_mul(factor)).ok_or(QuantityError::TooLarge(text.to_owned()))
    }

    /// The shortest exact form: the largest of `units` that divides `amount`.
    pub fn print(amount: u64, units: &[(&str, u64)]) -> String {
        let unit = units.iter().filter(|&&(_, factor)| amount > 0 && amount.is_multiple_of(factor));
        match unit.max_by_key(|&&(_, factor)| factor) {
            Some((name, factor)) => format!("{}{name}", amount / factor),
            None => format!("{amount}{}", units.first().map_or("", |&(name, _)| name)),
        }
    }

    fn names(&self) -> String {
        self.factors.iter().map(|&(name, _)| name).collect::<Vec<_>>().join(", ")
    }
}
