//! What the objects of a delivery are inside.

use super::unpack::Packing;
use crate::config::checked::Format;
use crate::delivery::encode::lines::{Line, LinesFormat};

/// What an object is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Records one behind the other.
    Lines {
        /// How they are compressed.
        packing: Packing,
        /// How each is written.
        line: Line,
    },
    /// Parquet.
    Parquet,
    /// ORC.
    Orc,
}

impl Contents {
    /// What files of `format` are.
    pub fn of(format: &Format) -> Self {
        let lines = |LinesFormat { compression, line }| Self::Lines { packing: compression.into(), line };
        match format {
            Format::Json(format) => lines((*format).into()),
            Format::Raw(format) => lines((*format).into()),
            Format::Parquet(_) => Contents::Parquet,
            Format::Orc(_) => Contents::Orc,
        }
    }
}
