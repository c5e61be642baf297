//! A stream as the edge sees it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::gate::throttle::account::Account;
use super::learned_plan::LearnedPlan;
use super::mapping::Mapping;
use super::stages::{Stage, Stages};
use crate::config::checked;
use crate::runtime::budget::Budget;
use crate::schema::inference::OnConflict;
use crate::schema::registry::Registry as Schemas;
use crate::schema::validation::{Plan, SchemaError};
use crate::stream::{Captures, Stream};
use crate::tap::named::all::NamedCursors;

/// A stream as the edge sees it: where its records go and what they must look like.
#[derive(Debug)]
pub struct Intake {
    /// The log behind it.
    pub stream: Arc<Stream>,
    /// `[ingest]` of its pipeline.
    pub ingest: checked::Ingest,
    /// The compiled schema and the fields to capture.
    pub plan: Plan,
    /// What stands in for it where learned columns are enforced.
    pub learned_plan: Option<LearnedPlan>,
    /// The fields that deliveries want captured.
    pub captures: Captures,
    /// The columns that are learned of its records.
    pub schema: Option<Arc<Schemas>>,
    /// Number of captured fields that batches carry; a partition key that is captured besides comes behind them.
    pub slots: usize,
    /// Slot of the partition key, where it is a field.
    pub key_slot: Option<usize>,
    /// The stream's account of the ingest share.
    pub budget: Arc<Budget>,
    /// What is added to its records.
    pub mapping: Option<Mapping>,
    /// The ways in.
    pub stages: Stages,
    /// How much may come in and go out, once it is open and if that is limited.
    pub account: Option<Arc<Account>>,
    /// Cursors that workers share.
    pub cursors: Arc<NamedCursors>,
    /// Whether no client sees it under its own name: the streams before and behind a function.
    pub is_internal: bool,
    /// Whether its pipeline has deliveries: clients of Firehose see it as a delivery stream of its name then. Those that
    /// delivery streams add do not count.
    pub has_deliveries: AtomicBool,
}

impl Intake {
    /// Compiles what `ingest` asks for. `captures` are the fields that deliveries want, and `schema` has the columns
    /// that are learned: records are refused that do not fit them, as far as they are learned, if it says so.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn new(
        stream: Arc<Stream>,
        ingest: checked::Ingest,
        (captures, schema): (Captures, Option<Arc<Schemas>>),
        budget: Arc<Budget>,
    ) -> Result<Self, SchemaError> {
        let other = |stage: &checked::Stage| {
            let parts = ((captures.clone(), schema.clone()), Arc::clone(&budget));
            let intake = Self::new(Arc::clone(&stream), stage.ingest.clone(), parts.0, parts.1)?;
            Ok(Stage::new(&stage.name, stage.canary, intake))
        };
        let stages = Stages::main(ingest.stages.iter().map(other).collect::<Result<_, SchemaError>>()?);
        let mut all = captures.clone();
        let key_slot = match &ingest.partition_key {
            checked::PartitionKeySource::Pointer(pointer) => Some(all.slot(pointer)),
            _ => None,
        };
        let mapping = ingest.add.as_ref().map(|add| Mapping::new(add, &mut all)).transpose()?;
        let plan = Plan::compile(ingest.schema.as_deref(), all.pointers())?;
        let enforced = schema.as_ref().filter(|schema| schema.rules().on_conflict == OnConflict::Reject);
        let learned_plan =
            enforced.map(|schema| LearnedPlan::new(Arc::clone(schema), all.pointers())).transpose()?;
        let slots = captures.pointers().len();
        let cursors = NamedCursors::in_memory(&stream, None);
        let (is_internal, has_deliveries) = (false, AtomicBool::new(false));
        Ok(Self {
            stream,
            ingest,
            plan,
            learned_plan,
            slots,
            captures,
            schema,
            key_slot,
            budget,
            mapping,
            stages,
            account: None,
            cursors,
            is_internal,
            has_deliveries,
        })
    }
}
