//! Where a worker begins: by its ledger, or, if that says nothing yet, where it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Worker;
use super::book::Book;
use super::learn::Learning;
use super::outflows::{Leftover, Outflows};
use super::read::Place;
use super::redo::Undone;
use super::stage::{Plan, Stage};
use super::trouble::Trouble;
use super::upload_tasks::UploadTasks;
use crate::delivery::files::Files;
use crate::delivery::judge::Judge;
use crate::delivery::ledger::{Entry, Ledger, LedgerError, State};
use crate::delivery::settled::Settled;
use crate::delivery::{Begin, LedgerParts, OpenError, Parts, SharedLedger};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::turns::Turn;
use crate::stream::{ReadError, Shard};

/// Where each shard is read on: at its `cursor`, or, if there is none, where the delivery begins.
fn positions(
    parts: &Parts,
    cursor: &BTreeMap<ShardId, SequenceNumber>,
) -> Result<BTreeMap<ShardId, SequenceNumber>, ReadError> {
    let begin = |shard: &Shard| match &parts.begin {
        // A shard that is news to a delivery that has begun has nothing that it could pass over.
        _ if !cursor.is_empty() => Ok(shard.log_ref().bounds().first),
        Begin::Oldest => Ok(shard.log_ref().bounds().first),
        Begin::At(time) => shard.log_ref().position_at(*time).find(),
        Begin::Behind(positions, _) => {
            let position =
                positions.iter().find(|(id, _)| *id == shard.facts.id).map(|&(_, position)| position);
            Ok(position.unwrap_or(shard.log_ref().bounds().first))
        }
    };
    let layout = parts.stream.layout();
    let position = |shard: &Shard| {
        let id = shard.facts.id;
        Ok((id, cursor.get(&id).map_or_else(|| begin(shard), |&position| Ok(position))?))
    };
    layout.shards().iter().map(position).collect()
}

/// Begins the balance of a delivery that reads on at `positions`. What one before it without a ledger has not stored of
/// what lies before them is lost: it has halted, or the log has let go of it.
fn begin_balance(parts: &Parts, positions: &BTreeMap<ShardId, SequenceNumber>) {
    let census = parts.stream.census();
    let found = census.ends.iter().map(|(id, end)| {
        let oldest = parts.stream.shard(*id).map_or(*end, |shard| shard.bounds().first);
        let position = positions.get(id).copied().unwrap_or(oldest);
        end.0.saturating_sub(position.max(oldest).0)
    });
    let found = found.sum();
    let lost = match &parts.begin {
        Begin::Behind(_, before) if parts.ledger.is_none() => {
            before.pending_of(census.accepted).saturating_sub(found)
        }
        _ => 0,
    };
    parts.status.begin(found, lost, census.accepted);
}

/// Lets the log go of what is not read any more. Shards of which nothing is read would keep all that they have otherwise.
fn release(parts: &Parts, positions: &BTreeMap<ShardId, SequenceNumber>) {
    for (&shard, &position) in positions {
        if let Some(log) = parts.stream.shard(shard) {
            log.release(parts.reader, position);
        }
    }
}

impl Parts {
    /// The same for the worker that has taken the ledger over: all that go on with it make the same keys, and none
    /// touches what another one has half written.
    fn owning(&self, shared: &SharedLedger, state: &State) -> Self {
        let Some(generation) = &state.generation else { return self.clone() };
        let shared = SharedLedger { generation: Some(generation.number), ..shared.clone() };
        Self {
            node: generation.ledger.as_str().into(),
            sink: self.sink.written_by(generation.number),
            ledger: Some(LedgerParts::Shared(shared)),
            ..self.clone()
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    // Only a panic or the end of the runtime keeps it from answering.
    tokio::task::spawn_blocking(work).await.map_err(|_| LedgerError::Stopped)?
}

impl Worker {
    /// A worker that goes on where its ledger says, or begins where it is told. The shards of the stream must not be
    /// split or merged meanwhile, but it may take records. Blocks the thread while it reads the ledger.
    ///
    /// # Errors
    /// If the ledger cannot be read, or tells of a configuration that cannot be gone on with.
    pub fn new(parts: &Parts) -> Result<Self, OpenError> {
        match &parts.ledger {
            None => {
                let positions = positions(parts, &BTreeMap::new())?;
                begin_balance(parts, &positions);
                release(parts, &positions);
                let stages = vec![Stage::of_run(parts)];
                Ok(Self::with_stages(parts, stages, &positions, BTreeMap::new()))
            }
            Some(LedgerParts::Folder { disk, folder }) => {
                let (ledger, state) = Ledger::open(Arc::clone(disk), folder.clone())?;
                let (worker, first) = Self::with_ledger(parts, ledger.clone(), state)?;
                ledger.append_blocking(&first)?;
                Ok(worker)
            }
            Some(LedgerParts::Shared(_)) => Err(LedgerError::NotHere.into()),
        }
    }

    /// The same, also with a ledger that other nodes can reach: it is taken over from whoever has it.
    ///
    /// # Errors
    /// As [`Worker::new`]; or if the ledger is taken over by others while this worker begins.
    pub async fn open(parts: &Parts) -> Result<Self, OpenError> {
        let Some(LedgerParts::Shared(shared)) = &parts.ledger else {
            let parts = parts.clone();
            return blocking(move || Self::new(&parts)).await;
        };
        let (ledger, state) = Ledger::take_over(shared.place.clone(), shared.owner()).await?;
        let parts = parts.owning(shared, &state);
        let owned = ledger.clone();
        let (worker, first) = blocking(move || Self::with_ledger(&parts, owned, state)).await?;
        ledger.append(first).await?;
        Ok(worker)
    }

    /// What must be in the ledger before it works comes with it.
    fn with_ledger(parts: &Parts, ledger: Ledger, state: State) -> Result<(Self, Vec<Entry>), OpenError> {
        let sealed = state.sealed_up_to();
        let positions = positions(parts, &state.cursor)?;
        for shard in parts.stream.layout().shards() {
            let (id, shard) = (shard.facts.id, shard.log_ref());
            let Some(&position) = positions.get(&id) else { continue };
            let end = shard.bounds().next;
            let known = sealed.get(&id).map_or(position, |last| position.max(SequenceNumber(last.0 + 1)));
            if end < known && !shard.hears_late() {
                tracing::error!(
                    stream = %parts.stream.name(), delivery = parts.config.name, shard = %id,
                    log_ends = %end, ledger_ends = %known,
                    "the log has lost its end, which was read already: numbers go on behind it"
                );
            }
            if end < known {
                // Otherwise new records would get the numbers of old ones, and be taken for delivered.
                shard.skip_to(known);
            }
        }
        begin_balance(parts, &positions);
        let plan = Plan::new(parts, &state, &positions)?;
        let floors = sealed.iter().map(|(&shard, last)| (shard, SequenceNumber(last.0.saturating_add(1))));
        let stages = plan.stages(parts, &positions)?;
        let mut worker = Self::with_stages(parts, stages, &positions, floors.collect());
        worker.undone = Undone::of(parts, &plan, &state)?;
        worker.outflows = Outflows::new(Leftover::of(parts, &plan, &state)?);
        // The log has been told before the last stop, and forgets what it is told.
        release(parts, &positions);
        let mut news = plan.news;
        // Where it begins does not follow from the log everywhere, and must not be forgotten then.
        let must_be_known = state.epochs.is_empty() && !matches!(parts.begin, Begin::Oldest);
        let first = if must_be_known { std::mem::take(&mut news) } else { Vec::new() };
        let trouble = Trouble::none(&parts.status);
        worker.files = Files::new(state.next_seal);
        worker.unstored = state.open.iter().map(|(&number, open)| (number, open.seal.oldest)).collect();
        let named = state.epochs.iter().flat_map(|epoch| &epoch.from).map(|&(shard, _)| shard);
        let known: BTreeSet<ShardId> = state.cursor.keys().copied().chain(named).collect();
        let gone: Vec<_> = known.into_iter().filter(|shard| !positions.contains_key(shard)).collect();
        let mut book = Book::new(ledger, &state, positions, news, trouble);
        book.lose_shards(gone);
        worker.book = Some(book);
        worker.settled = Some(Settled::new(state));
        Ok((worker, first))
    }

    fn with_stages(
        parts: &Parts,
        mut stages: Vec<Stage>,
        positions: &BTreeMap<ShardId, SequenceNumber>,
        floors: BTreeMap<ShardId, SequenceNumber>,
    ) -> Self {
        let Parts { stream, reader, status, memory, budget, .. } = parts;
        let place = |shard: &Shard| {
            let (id, first) = (shard.facts.id, shard.log_ref().bounds().first);
            let next = positions.get(&id).copied().unwrap_or(first);
            Place::new(id, next, first)
        };
        let (schema, columns) = (parts.schema.as_ref(), parts.config.format.columns());
        if let (Some(schema), Some(columns), Some(stage)) = (schema, columns, stages.last_mut()) {
            stage.intake.judge_with(Judge::new(schema, columns, Arc::new(floors)));
        }
        let layout = stream.layout();
        let places: Vec<_> = layout.shards().iter().map(place).collect();
        for place in &places {
            status.set_position(place.shard, place.next);
        }
        Self {
            stream: Arc::clone(stream),
            layout,
            reader: *reader,
            signal: stream.delivery_signal(),
            status: Arc::clone(status),
            memory: Arc::clone(memory),
            budget: Arc::clone(budget),
            places,
            turn: 0,
            core_turn: Turn::default(),
            stages: stages.into(),
            files: Files::default(),
            settled: None,
            queue: VecDeque::new(),
            uploads: UploadTasks::default(),
            outflows: Outflows::default(),
            unstored: BTreeMap::new(),
            book: None,
            undone: Vec::new(),
            learning: schema.map(|schema| Learning::new(schema, parts.config.buffer.interval, status)),
            halted: None,
        }
    }
}
