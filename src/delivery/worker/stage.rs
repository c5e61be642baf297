//! The configurations that a delivery still has records of, one behind the other.
//!
//! ```text
//! cursor            from of epoch 2         from of epoch 3
//!   │ records of epoch 1 │ records of epoch 2    │ records of epoch 3 …
//! ```
//! Where a configuration takes over is in the ledger: behind the last record that was sealed under the one before. So
//! records of one position are always sorted by the same rules, and no file has records of two.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::config::checked;
use crate::delivery::classify::Classifier;
use crate::delivery::epoch::EpochConfig;
use crate::delivery::intake::{Intake, Setting};
use crate::delivery::ledger::{Entry, Epoch, Shards, State};
use crate::delivery::seal::{Origin, Series};
use crate::delivery::sink::ObjectSink;
use crate::delivery::{Fields, OpenError, Parts, Slots};
use crate::record::{SequenceNumber, ShardId};
use crate::schema::columns::Columns;
use crate::stream::{Captures, Layout, Payer, Read, ReadError, ReadLimit, ShardFacts, Stream};

/// One configuration, and how far it goes.
pub struct Stage {
    /// Sorts records by it.
    pub intake: Intake,
    /// Where the fields are that it needs.
    fields: Fields,
    /// First positions of the next one; empty for the last.
    until: BTreeMap<ShardId, SequenceNumber>,
}

impl Stage {
    /// The only one of a delivery without a ledger.
    pub fn of_run(parts: &Parts) -> Self {
        let intake =
            intake(parts, Arc::new(parts.config.clone()), parts.slots.clone(), Series::Run(parts.run));
        Self { intake: intake(parts.sink.clone()), fields: parts.fields.clone(), until: BTreeMap::new() }
    }

    /// The last one: as configured.
    pub fn of_today(parts: &Parts, number: u32) -> Self {
        let config = Arc::new(parts.config.clone());
        let intake = intake(parts, config, parts.slots.clone(), Series::Epoch(number));
        Self { intake: intake(parts.sink.clone()), fields: parts.fields.clone(), until: BTreeMap::new() }
    }

    /// That of an earlier epoch.
    ///
    /// # Errors
    /// If another version of the program has written it, or its sink cannot be opened.
    pub fn of_epoch(parts: &Parts, epoch: &Epoch) -> Result<Self, OpenError> {
        let text = EpochConfig::parse(&epoch.config)?;
        let config = text.delivery(&parts.config)?;
        let sink = match &parts.ledger {
            Some(ledger) if !text.has_sink_of(&parts.config) => ledger.open_sink(&config.sink)?,
            _ => parts.sink.clone(),
        };
        let mut captures = Captures::default();
        let slots = Slots::of(&config, &mut captures);
        let fields = Fields::Own(Arc::new(captures.plan()?));
        let intake = intake(parts, Arc::new(config), slots, Series::Epoch(epoch.number));
        Ok(Self { intake: intake(sink), fields, until: BTreeMap::new() })
    }

    /// Ends it at `from`, where one with other columns follows, and gives that with what the ledger is to tell of it.
    pub fn followed_by(
        &mut self,
        columns: &Arc<Columns>,
        from: BTreeMap<ShardId, SequenceNumber>,
    ) -> (Self, Epoch) {
        let intake = self.intake.followed_by(columns);
        let epoch = Epoch {
            number: intake.epoch(),
            config: intake.epoch_config().text(),
            from: from.iter().map(|(&shard, &from)| (shard, from)).collect(),
        };
        self.until = from;
        (Self { intake, fields: self.fields.clone(), until: BTreeMap::new() }, epoch)
    }

    /// Leaves all records of a shard, which begins at `from`, to the one that follows.
    pub fn leave(&mut self, shard: ShardId, from: SequenceNumber) {
        self.until.insert(shard, from);
    }

    /// The first position of a shard that is not of this one.
    pub fn end(&self, shard: ShardId) -> SequenceNumber {
        self.until.get(&shard).copied().unwrap_or(SequenceNumber(u64::MAX))
    }

    /// Reads with the fields that it needs.
    pub async fn read(
        fields: Fields,
        stream: &Arc<Stream>,
        at: (ShardId, SequenceNumber),
        bytes: u64,
        payer: &Payer,
    ) -> Result<Read, ReadError> {
        let limit = ReadLimit::bytes(bytes);
        match fields {
            Fields::OfStream(slots) => stream.read_captured(at, limit, payer, slots).await,
            Fields::Own(captures) => stream.read_with(at, limit, payer, &captures).await,
        }
    }

    /// Where the fields are, for [`Stage::read`].
    pub fn fields(&self) -> Fields {
        self.fields.clone()
    }
}

fn intake(
    parts: &Parts,
    config: Arc<checked::Delivery>,
    slots: Slots,
    series: Series,
) -> impl FnOnce(ObjectSink) -> Intake {
    let stream = parts.stream.name();
    let origin = Origin {
        stream: Arc::clone(stream),
        delivery: parts.config.name.as_str().into(),
        node: Arc::clone(&parts.node),
        series,
    };
    let class = Classifier::new(Arc::clone(stream), Arc::clone(&config), slots);
    let (budget, status) = (Arc::clone(&parts.budget), Arc::clone(&parts.status));
    move |sink| Intake::new(Setting { config, class, origin, sink, budget, status })
}

/// What a delivery with a ledger has to go through.
pub struct Plan {
    /// To be written before anything else: the configuration, or shards, if they are news.
    pub news: Vec<Entry>,
    /// All epochs that anything is needed of, the new one included.
    epochs: Vec<Epoch>,
}

impl Plan {
    /// Goes on from `state`, with `positions` as the cursor.
    ///
    /// # Errors
    /// If another version of the program has written the latest epoch.
    pub fn new(
        parts: &Parts,
        state: &State,
        positions: &BTreeMap<ShardId, SequenceNumber>,
    ) -> Result<Self, OpenError> {
        let config = EpochConfig::of(&parts.config);
        let mut epochs = state.epochs.clone();
        if let Some(last) = epochs.last_mut()
            && EpochConfig::parse(&last.config)? == config
        {
            let names = |shard| last.from.iter().any(|&(named, _)| named == shard);
            let others = positions.iter().filter(|&(&shard, _)| !names(shard));
            let others: Vec<_> = others.map(|(&shard, &from)| (shard, from)).collect();
            if others.is_empty() {
                return Ok(Self { news: Vec::new(), epochs });
            }
            // Made since, by a process that has ended before it could write them down.
            if !others.iter().any(|&(shard, _)| state.knows(shard)) {
                last.from.extend(&others);
                return Ok(Self {
                    news: vec![Entry::Shards(Shards { from: others, gone: Vec::new() })],
                    epochs,
                });
            }
        }
        let number = epochs.last().map_or(1, |last| last.number + 1);
        let epoch = Epoch { number, config: config.text(), from: boundary(parts, state, positions) };
        epochs.push(epoch.clone());
        Ok(Self { news: vec![Entry::Epoch(epoch)], epochs })
    }

    /// Number of the epoch of today.
    fn today(&self) -> u32 {
        self.epochs.last().map_or(0, |epoch| epoch.number)
    }

    /// The stages that still have records from `positions` on, in order. The last one is that of today.
    ///
    /// # Errors
    /// See [`Stage::of_epoch`].
    pub fn stages(
        &self,
        parts: &Parts,
        positions: &BTreeMap<ShardId, SequenceNumber>,
    ) -> Result<Vec<Stage>, OpenError> {
        let mut stages = Vec::new();
        for (index, epoch) in self.epochs.iter().enumerate() {
            let later = self.epochs.get(index + 1..).unwrap_or_default();
            if later.is_empty() {
                stages.push(Stage::of_today(parts, epoch.number));
                continue;
            }
            let mut until = BTreeMap::new();
            for &(shard, from) in later.iter().flat_map(|epoch| &epoch.from) {
                let end = until.entry(shard).or_insert(from);
                *end = from.min(*end);
            }
            let has_more = |(shard, end)| positions.get(shard).is_some_and(|position| position < end);
            if until.iter().any(has_more) {
                stages.push(Stage { until, ..Stage::of_epoch(parts, epoch)? });
            }
        }
        Ok(stages)
    }

    /// The stage of an epoch whose files are to be stored again.
    ///
    /// # Errors
    /// See [`Stage::of_epoch`].
    pub fn stage_of(&self, parts: &Parts, number: u32) -> Result<Stage, OpenError> {
        if number == self.today() {
            return Ok(Stage::of_today(parts, number));
        }
        match self.epochs.iter().find(|epoch| epoch.number == number) {
            Some(epoch) => Stage::of_epoch(parts, epoch),
            None => Err(OpenError::NoEpoch { number }),
        }
    }
}

/// Where a new configuration takes over: as early as it can.
fn boundary(
    parts: &Parts,
    state: &State,
    positions: &BTreeMap<ShardId, SequenceNumber>,
) -> Vec<(ShardId, SequenceNumber)> {
    let sealed = state.sealed_up_to();
    let begin = |(&shard, &position): (&ShardId, &SequenceNumber)| {
        let sealed = sealed.get(&shard).map(|last| SequenceNumber(last.0.saturating_add(1)));
        let named = state.epochs.iter().flat_map(|epoch| &epoch.from).filter(|(named, _)| *named == shard);
        let begun = named.map(|&(_, from)| from).max();
        (shard, position.max(sealed.unwrap_or_default()).max(begun.unwrap_or_default()))
    };
    let mut from = positions.iter().map(begin).collect();
    leave_ancestors(&parts.stream.layout(), &mut from);
    from.into_iter().collect()
}

/// Leaves all of a shard to the configuration before where that has records of one of its descendants: they are read
/// behind those of the shard, and would otherwise wait for the configuration that follows them.
pub(super) fn leave_ancestors(layout: &Layout, from: &mut BTreeMap<ShardId, SequenceNumber>) {
    let mut begun = HashSet::new();
    // Children come before their parents.
    for shard in layout.shards().iter().rev() {
        let ShardFacts { id, first, end, .. } = shard.facts;
        if let (true, Some(end), Some(own)) = (begun.contains(&id), end, from.get_mut(&id)) {
            *own = end.max(*own);
        }
        if begun.contains(&id) || from.get(&id).is_some_and(|from| *from > first) {
            begun.extend(shard.facts.parents());
        }
    }
}
