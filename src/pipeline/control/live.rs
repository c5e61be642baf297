//! The deliveries of a stream, changed while it takes records.
//!
//! ```text
//! noted by who keeps them ─▶ stop ─▶ build on the same ledgers ─▶ let the edge capture what they need ─▶ start
//!                              └──────────── what cannot be built: the old ones go on ◀───┘
//! ```
//!
//! A delivery keeps its number among the readers of the stream all the time, so that the log keeps what it has not
//! stored. What it has read and not closed is read again, by its new configuration: that is an epoch, as after a restart
//! with a changed file. Who sends records notices nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Control, ControlError};
use crate::config::checked::{ColumnsSource, Delivery, Pipeline};
use crate::config::limits::CAPTURES_MAX;
use crate::delivery::sink::ObjectSink;
use crate::delivery::{Begin, Fields, Parts, Slots};
use crate::edge::Intake;
use crate::pipeline::build::{NewDelivery, is_of_pipeline};
use crate::pipeline::running::{Built, Which};
use crate::pipeline::{StartError, learned};
use crate::runtime::clock::UnixMicros;
use crate::runtime::phases::Phase;
use crate::schema::registry::Registry;
use crate::stream::{CapturePlan, Captures, Stream};

/// Deliveries that are to run: in the place of those of the same names, or beside the others.
#[derive(Debug, Clone)]
pub struct Change {
    /// The stream's name, and the deliveries. Where they are all that reads the stream, also how it takes records.
    pub pipeline: Pipeline,
    /// Whether they are.
    pub is_own: bool,
    /// Those that are news begin with what has arrived then or later.
    pub since: UnixMicros,
}

/// Where the fields of some deliveries are, and what the stream captures with them.
struct Captured {
    captures: Captures,
    plan: CapturePlan,
    fields: Fields,
    slots: Vec<Slots>,
}

impl Control {
    /// Whether a change can be made, as far as that can be told without making it. Blocks the thread.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check_change(&self, change: &Change) -> Result<(), ControlError> {
        let Change { pipeline, is_own, .. } = change;
        let stream = &pipeline.stream.name;
        let intake = self.intake(stream)?;
        if self.site.cluster().is_some() && intake.stream.topic().is_some() {
            return Err(ControlError::Shared { stream: stream.clone() });
        }
        let learns = matches!(pipeline.columns_source, Some(ColumnsSource::Inferred(_)));
        let has_columns = pipeline.deliveries.iter().any(|delivery| delivery.format.columns().is_some());
        if !is_own && has_columns && learns != intake.schema.is_some() {
            return Err(ControlError::Columns { stream: stream.clone() });
        }
        let failed = |source| StartError::Schema { stream: stream.clone(), source };
        captured(&intake.captures, &pipeline.deliveries).map_err(failed)?;
        for Delivery { name, sink, .. } in &pipeline.deliveries {
            let failed = |source| StartError::Sink { stream: stream.clone(), delivery: name.clone(), source };
            ObjectSink::open(sink).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes a change that was noted. To be called alone, in [`Control::alone`]. Blocks the thread.
    ///
    /// # Errors
    /// Why it cannot be made. What ran before goes on then.
    pub fn change_deliveries(&self, change: &Change) -> Result<(), ControlError> {
        let stream = &change.pipeline.stream.name;
        let intake = self.intake(stream)?;
        if self.site.phases.current() != Phase::Serving {
            return Err(ControlError::Stopped);
        }
        // A drain waits for what is about to be started.
        let _held = self.site.workers.hold();
        let names = || change.pipeline.deliveries.iter().map(|delivery| delivery.name.as_str());
        let which = Which::named(stream, names());
        if let Err(still) = self.runtime.block_on(self.site.stop(&which)) {
            self.site.go_on_later(which, &self.changing, &self.runtime);
            return Err(still.into());
        }
        let mut new_readers = Vec::new();
        match self.build_changed(change, &intake, &which, &mut new_readers) {
            Ok((intake, built)) => {
                let deliveries = built.len();
                self.site.edge.add(intake);
                self.site.start(built, &self.runtime);
                tracing::info!(stream, deliveries, "deliveries of a stream have changed");
                Ok(())
            }
            Err(error) => {
                new_readers.into_iter().for_each(|reader| intake.stream.remove_reader(reader));
                self.site.go_on(&which, &self.runtime);
                Err(error)
            }
        }
    }

    fn build_changed(
        &self,
        change: &Change,
        intake: &Intake,
        which: &Which,
        new_readers: &mut Vec<usize>,
    ) -> Result<(Intake, Vec<Built>), ControlError> {
        let Change { pipeline, is_own, since } = change;
        let stream = &intake.stream;
        let failed = |source| StartError::Schema { stream: stream.name().to_string(), source };
        let Captured { captures, plan, fields, slots } =
            captured(&intake.captures, &pipeline.deliveries).map_err(failed)?;
        let schema = if *is_own { self.own_schema(intake, pipeline)? } else { intake.schema.clone() };
        let known = self.site.parts_of(which);
        stream.capture(plan);
        let mut built = Vec::new();
        for (config, slots) in pipeline.deliveries.iter().zip(slots) {
            let before = known.iter().find(|parts| parts.config.name == config.name);
            let (reader, begin) = match before {
                Some(before) => (before.reader, before.begin.clone()),
                None => {
                    let reader = stream.add_reader();
                    new_readers.push(reader);
                    (reader, Begin::At(*since))
                }
            };
            let (fields, schema) = (fields.clone(), schema.clone());
            let new = NewDelivery { config: config.clone(), reader, slots, fields, schema, begin };
            built.push(self.build_one(stream, new, before)?);
        }
        let ingest = if *is_own { pipeline.ingest.clone() } else { intake.ingest.clone() };
        let budget = Arc::clone(&intake.budget);
        let mut next = Intake::new(Arc::clone(stream), ingest, (captures, schema), budget).map_err(failed)?;
        next.cursors = Arc::clone(&intake.cursors);
        let had_deliveries = intake.has_deliveries.load(Ordering::Relaxed);
        let has_own = !pipeline.fan_outs.is_empty() || pipeline.deliveries.iter().any(is_of_pipeline);
        next.has_deliveries = (had_deliveries || has_own).into();
        next.is_internal = intake.is_internal;
        Ok((next, built))
    }

    fn build_one(
        &self,
        stream: &Arc<Stream>,
        new: NewDelivery,
        before: Option<&Arc<Parts>>,
    ) -> Result<Built, StartError> {
        let budget = match before {
            Some(before) => Arc::clone(&before.budget),
            None => self.site.memory.share.account(usize::MAX),
        };
        let mut parts = self.site.parts(self.site.logs().as_ref(), stream, new, budget)?;
        if let Some(before) = before.filter(|_| parts.ledger.is_none())
            && let Some(positions) = self.site.end_of(before)
        {
            parts.begin = Begin::Behind(positions, Arc::clone(&before.status));
        }
        let worker = self.site.worker(&parts)?;
        Ok((Arc::new(parts), worker))
    }

    /// The columns that are learned of a stream that has no deliveries but these, which do not run.
    fn own_schema(&self, intake: &Intake, pipeline: &Pipeline) -> Result<Option<Arc<Registry>>, StartError> {
        let Some(ColumnsSource::Inferred(rules)) = pipeline.columns_source else { return Ok(None) };
        match &intake.schema {
            Some(schema) if schema.rules() == rules => Ok(Some(Arc::clone(schema))),
            _ => {
                let logs = self.site.logs();
                learned::open(logs.as_ref(), &pipeline.stream, rules, &self.site.registry).map(Some)
            }
        }
    }

    /// Stops deliveries for good: without a ledger, what they cannot store within a few seconds is lost. To be called
    /// alone, in [`Control::alone`]; may be called again. Blocks the thread.
    ///
    /// # Errors
    /// If they do not stop in time.
    pub fn stop_deliveries(&self, stream: &str, deliveries: &[String]) -> Result<(), ControlError> {
        let which = Which::named(stream, deliveries.iter().map(String::as_str));
        Ok(self.runtime.block_on(self.site.stop_for_good(&which))?)
    }

    /// The same without a wait: whether they have ended. To be called alone, in [`Control::alone`].
    pub fn have_stopped(&self, stream: &str, deliveries: &[String]) -> bool {
        self.site.has_stopped_for_good(&Which::named(stream, deliveries.iter().map(String::as_str)))
    }

    /// Knows deliveries no more that were stopped for good, and takes away what they have noted: the stream keeps nothing
    /// for them any more. To be called alone, in [`Control::alone`]. Blocks the thread.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget_deliveries(&self, stream: &str, deliveries: &[String]) -> Result<(), ControlError> {
        let which = Which::named(stream, deliveries.iter().map(String::as_str));
        for parts in self.site.parts_of(&which) {
            parts.stream.remove_reader(parts.reader);
        }
        self.site.forget_deliveries(&which);
        if let Some(logs) = self.site.logs().as_ref() {
            deliveries.iter().try_for_each(|delivery| logs.folder.forget_ledger(stream, delivery))?;
        }
        Ok(())
    }
}

/// Adds what `deliveries` need to what a stream captures. Where that is too much already, they look for themselves.
fn captured(
    known: &Captures,
    deliveries: &[Delivery],
) -> Result<Captured, crate::schema::validation::SchemaError> {
    let slots =
        |captures: &mut Captures| deliveries.iter().map(|config| Slots::of(config, captures)).collect();
    let mut captures = known.clone();
    let of_stream = slots(&mut captures);
    let (before, after) = (known.pointers().len(), captures.pointers().len());
    if after == before || after <= CAPTURES_MAX {
        let (plan, fields) = (captures.plan()?, Fields::of_stream(&captures));
        return Ok(Captured { captures, plan, fields, slots: of_stream });
    }
    let mut own = Captures::default();
    let slots = slots(&mut own);
    let fields = Fields::Own(Arc::new(own.plan()?));
    Ok(Captured { captures: known.clone(), plan: known.plan()?, fields, slots })
}
