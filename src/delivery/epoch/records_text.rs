//! Which records a delivery takes, and how it writes the others, as the ledger keeps it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EpochConfig, EpochError};
use crate::config::checked::{Delivery, Selection};
use crate::delivery::encode::dead_letter::Envelope;

/// Which records: for those that fail in another delivery, that delivery's own text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SelectionText {
    #[default]
    Fitting,
    All,
    Failed(Box<EpochConfig>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EnvelopeText {
    #[default]
    Forebay,
    Firehose,
}

impl SelectionText {
    pub(super) fn of(selection: &Selection) -> Self {
        match selection {
            Selection::Fitting => SelectionText::Fitting,
            Selection::All => SelectionText::All,
            Selection::FailedIn(main) => SelectionText::Failed(Box::new(EpochConfig::of(main))),
        }
    }

    pub(super) fn restore(&self, current: &Delivery) -> Result<Selection, EpochError> {
        Ok(match self {
            SelectionText::Fitting => Selection::Fitting,
            SelectionText::All => Selection::All,
            SelectionText::Failed(of) => {
                let main = match &current.selection {
                    Selection::FailedIn(main) => main,
                    // It only says what is no part of an epoch.
                    Selection::Fitting | Selection::All => current,
                };
                Selection::FailedIn(Arc::new(of.delivery(main)?))
            }
        })
    }

    pub(super) fn is_fitting(&self) -> bool {
        *self == SelectionText::Fitting
    }
}

impl EnvelopeText {
    pub(super) fn of(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Forebay => EnvelopeText::Forebay,
            Envelope::Firehose => EnvelopeText::Firehose,
        }
    }

    pub(super) fn restore(self) -> Envelope {
        match self {
            EnvelopeText::Forebay => Envelope::Forebay,
            EnvelopeText::Firehose => Envelope::Firehose,
        }
    }

    pub(super) fn is_own(&self) -> bool {
        *self == EnvelopeText::Forebay
    }
}
