//! What decides over a record's folder besides the templates, as a ledger keeps it.
//!
//! ```json
//! {"time_zone":{"name":"Europe/Berlin","rules":"0f3a…"},"partition_keys":{"id":"/customer/id"},
//!  "late":{"allowed_ms":3600000,"prefix":"late/"},"max_future_ms":600000}
//! ```
//!
//! A zone's rules are a part of the program, and the next version may have others: governments change them. The
//! fingerprint tells whether they are the same, so that records are never sorted in two ways without notice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::checked::{Late, Placement};
use crate::delivery::prefix::{PrefixTemplate, TemplateError, Terms, UnknownZone, Zone};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementText {
    /// Without it UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<ZoneText>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    partition_keys: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    late: Option<LateText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_future_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneText {
    name: String,
    /// See [`Zone::fingerprint`].
    rules: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LateText {
    allowed_ms: u64,
    prefix: String,
}

/// Why it cannot be used.
#[derive(Debug, Error)]
pub enum PlacementError {
    /// A zone that the program does not have.
    #[error(
        "the ledger has a time zone that this version does not know ({0}): start the version that wrote it"
    )]
    Zone(#[from] UnknownZone),
    /// A zone whose rules are not what they were.
    #[error(
        "the ledger has records that were sorted by other rules of the time zone {name} than this version has: start \
         the version that wrote it, and stop it in order once it has delivered everything"
    )]
    Rules {
        /// The zone.
        name: String,
    },
    /// A template that does not parse.
    #[error(
        "the ledger has a late_prefix that this version cannot read ({0}): start the version that wrote it"
    )]
    Template(#[from] TemplateError),
}

impl PlacementText {
    /// What a delivery has.
    pub fn of(placement: &Placement) -> Self {
        let Placement { terms: Terms { time_zone, partition_keys }, late, future_max } = placement;
        let zone = || ZoneText { name: time_zone.name().to_owned(), rules: time_zone.fingerprint() };
        Self {
            time_zone: (!time_zone.is_utc()).then(zone),
            partition_keys: partition_keys.clone(),
            late: late.as_ref().map(|Late { allowed, prefix }| LateText {
                allowed_ms: milliseconds(*allowed),
                prefix: prefix.as_str().to_owned(),
            }),
            max_future_ms: future_max.map(milliseconds),
        }
    }

    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the delivery had.
    ///
    /// # Errors
    /// If this version would sort records in another way.
    pub fn restore(&self) -> Result<Placement, PlacementError> {
        let time_zone = match &self.time_zone {
            None => Zone::utc(),
            Some(ZoneText { name, rules }) => {
                let zone = Zone::parse(name)?;
                if zone.fingerprint() != *rules {
                    return Err(PlacementError::Rules { name: name.clone() });
                }
                zone
            }
        };
        let terms = Terms { time_zone, partition_keys: self.partition_keys.clone() };
        let late = |late: &LateText| {
            let prefix = PrefixTemplate::parse(&late.prefix, &terms)?;
            Ok::<_, TemplateError>(Late { allowed: Duration::from_millis(late.allowed_ms), prefix })
        };
        let late = self.late.as_ref().map(late).transpose()?;
        Ok(Placement { late, future_max: self.max_future_ms.map(Duration::from_millis), terms })
    }
}

/// The configuration has no finer durations, and none above a year.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        let time_zone = Zone::parse("Europe/Berlin").unwrap();
        let partition_keys = [("id".to_owned(), "/customer/id|lower".to_owned())].into();
        let terms = Terms { time_zone, partition_keys };
        let prefix = PrefixTemplate::parse("late/!{partitionKeyFromQuery:id}/", &terms).unwrap();
        let late = Some(Late { allowed: Duration::from_secs(3_600), prefix });
        Placement { terms, late, future_max: Some(Duration::from_millis(1)) }
    }

    #[test]
    fn a_placement_comes_back_from_its_text_as_it_was() {
        let before = placement();
        let text = serde_json::to_string(&PlacementText::of(&before)).unwrap();
        let read: PlacementText = serde_json::from_str(&text).unwrap();
        assert_eq!(format!("{:?}", read.restore().unwrap()), format!("{before:?}"));
        assert!(!read.is_default());
        assert_eq!(serde_json::to_string(&PlacementText::of(&Placement::default())).unwrap(), "{}");
    }

    #[test]
    fn rules_of_a_zone_that_have_changed_are_not_gone_by() {
        let mut text = PlacementText::of(&placement());
        text.time_zone.as_mut().unwrap().rules = "0123456789abcdef".to_owned();
        let message = text.restore().unwrap_err().to_string();
        assert!(message.contains("other rules of the time zone Europe/Berlin"), "{message}");
        text.time_zone.as_mut().unwrap().name = "Mars/Olympus".to_owned();
        let message = text.restore().unwrap_err().to_string();
        assert!(message.contains("Mars/Olympus") && message.contains("start the version"), "{message}");
    }
}
