//! Intakes whose columns are learned.

use std::sync::Arc;

use super::{Dead, Intake, Origin, Record, Setting, checked};
use crate::delivery::epoch::EpochConfig;
use crate::delivery::judge::Judge;
use crate::record::{SequenceNumber, ShardId};
use crate::schema::columns::Columns;

impl Intake {
    /// Has records that do not fit judged: learned columns may have to grow.
    pub fn judge_with(&mut self, judge: Judge) {
        self.judge = Some(judge);
    }

    /// The next one, with other columns.
    pub fn followed_by(&self, columns: &Arc<Columns>) -> Self {
        let format = self.config.format.with_columns(Arc::clone(columns));
        let config = Arc::new(checked::Delivery { format, ..(*self.config).clone() });
        let next = Self::new(Setting {
            class: self.class.under(Arc::clone(&config)),
            config,
            origin: Origin { series: self.origin.series.next(), ..self.origin.clone() },
            sink: self.sink.clone(),
            budget: Arc::clone(&self.opener.budget),
            status: Arc::clone(&self.status),
        });
        let judge = self.judge.as_ref().map(|judge| judge.of_columns(columns));
        Self { judge, ..next }
    }

    /// What the ledger is to tell of the configuration.
    pub fn epoch_config(&self) -> EpochConfig {
        EpochConfig::of(&self.config)
    }

    /// The version of its columns, if they may grow.
    pub fn version(&self) -> Option<u32> {
        self.judge.as_ref().map(Judge::version)
    }

    /// The first position of a shard that may be under other columns.
    pub fn floor(&self, shard: ShardId) -> SequenceNumber {
        self.judge.as_ref().map(|judge| judge.floor(shard)).unwrap_or_default()
    }

    /// Takes the record at a position for one that no columns can be learned from.
    pub fn leave_dead(&mut self, at: (ShardId, SequenceNumber)) {
        if let Some(judge) = &mut self.judge {
            judge.give_up(at);
        }
    }

    /// Whether other columns have room for a record that these have refused; if not, `dead` tells why.
    pub(super) fn wants_columns(&mut self, at: Record<'_>, dead: &mut Dead) -> bool {
        let (Some(judge), Some(text)) = (&mut self.judge, at.valid_text()) else { return false };
        match judge.wants_columns(text, at.position) {
            Ok(()) => true,
            Err(why) => {
                dead.message = why.unwrap_or_else(|| std::mem::take(&mut dead.message));
                false
            }
        }
    }
}
