//! Arguments → which letters are meant.

use regex::bytes::Regex;
use thiserror::Error;

use super::Selection;
use crate::delivery::dead_letters::{Filter, parse_time};
use crate::runtime::clock;

/// Why a filter cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// A time that is none.
    #[error(
        "--{option} {text}: write a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or a duration ago such as 2h"
    )]
    Time {
        /// The option.
        option: &'static str,
        /// What was written.
        text: String,
    },
    /// An expression that is none.
    #[error("--grep: {0}")]
    Grep(#[from] regex::Error),
}

/// What the arguments say.
pub fn filter_of(selection: &Selection) -> Result<Filter, FilterError> {
    let now = clock::wall();
    let time = |option, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => match parse_time(text, now) {
            Some(time) => Ok(Some(time)),
            None => Err(FilterError::Time { option, text: text.clone() }),
        },
    };
    Ok(Filter {
        stream: selection.stream.clone(),
        delivery: selection.delivery.clone(),
        reasons: selection.reason.clone(),
        since: time("since", &selection.since)?,
        until: time("until", &selection.until)?,
        grep: selection.grep.as_deref().map(Regex::new).transpose()?,
    })
}
