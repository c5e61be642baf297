//! `type`: sets of value kinds.

use std::fmt;

use crate::json::Kind;

/// A set of value kinds, with integers as a kind of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub const ALL: Kinds = Kinds(0x7f);
    pub const NONE: Kinds = Kinds(0);
    /// Numbers without a fraction.
    const INTEGER: Kinds = Kinds(0x40);

    /// The set with the one kind that the keyword `type` calls `name`. `number` holds the integers as well.
    pub fn named(name: &str) -> Option<Kinds> {
        Some(match name {
            "object" => Self::of(Kind::Object),
            "array" => Self::of(Kind::Array),
            "string" => Self::of(Kind::String),
            "number" => Self::of(Kind::Number).with(Self::INTEGER),
            "boolean" => Self::of(Kind::Bool),
            "null" => Self::of(Kind::Null),
            "integer" => Self::INTEGER,
            _ => return None,
        })
    }

    #[inline]
    fn of(kind: Kind) -> Kinds {
        Kinds(1 << kind as u8)
    }

    pub fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether every value of `kind` is in the set.
    #[inline]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    /// Whether integers are in the set.
    #[inline]
    pub fn has_integers(self) -> bool {
        self.0 & Self::INTEGER.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [Kind::Object, Kind::Array, Kind::String, Kind::Number, Kind::Bool, Kind::Null];
        let mut names: Vec<_> = kinds.into_iter().filter(|&kind| self.has(kind)).map(Kind::name).collect();
        if self.has_integers() && !self.has(Kind::Number) {
            names.push("integer");
        }
        f.write_str(&names.join(" or "))
    }
}
