//! Who does what: parts of the load → connections, producers → connections, connections → feeders.

use std::sync::Arc;
use std::time::Instant;

use forebay::testkit::generators::{Generator, KeyPicker, Settings, producer_name};
use tokio::sync::Notify;

use super::RunError;
use super::bodies::{self, BodyMaker, Feeder, Queue, Recipe, Records};
use super::lane::Lane;
use super::link::{HeadError, RequestHead};
use super::plan::{Mode, Plan, Source};
use super::replay::ReplayFile;
use super::schedule::{Pacer, Schedule};
use super::workload::{self, Class};
use crate::manifest::{Account, MANIFEST_VERSION, Manifest};

/// The parts of the load.
pub(super) struct Parts {
    pub(super) classes: Vec<Class>,
    heads: Vec<Arc<RequestHead>>,
    /// The part that each lane is of. Lanes that share a connection stand beside each other.
    pub(super) of_lane: Vec<usize>,
}

impl Parts {
    pub(super) fn new(plan: &Plan) -> Result<Self, HeadError> {
        let classes = plan.classes();
        let heads = classes.iter().map(|class| RequestHead::new(plan, class).map(Arc::new));
        let heads = heads.collect::<Result<_, _>>()?;
        let of_connection = workload::deal(&classes, plan.connections as usize).into_iter();
        let of_lane =
            of_connection.flat_map(|class| std::iter::repeat_n(class, plan.pipeline as usize)).collect();
        Ok(Self { classes, heads, of_lane })
    }

    /// When requests of a part are due.
    pub(super) fn schedule(&self, plan: &Plan, class: usize) -> Option<Schedule> {
        let Mode::Open { rate } = plan.mode else { return None };
        let whole: f64 = self.classes.iter().map(|class| class.weight).sum();
        let lanes = self.of_lane.iter().filter(|of| **of == class).count() as u32;
        let Class { weight, batch, .. } = self.classes[class];
        Some(Schedule::new(rate * weight / whole, batch.mean(), lanes))
    }
}

/// All producers in order, each with the records that it may send.
pub(super) fn producers(plan: &Plan, parts: &Parts) -> Result<Vec<(Records, u64)>, RunError> {
    let name = |index| producer_name(plan.source.name(), &plan.run_name, index);
    let count = u64::from(plan.producers);
    let share = |index: u32, total: u64| total / count + u64::from(u64::from(index) < total % count);
    match &plan.source {
        Source::Profile(profile) => {
            let keys = Arc::new(KeyPicker::new(plan.keys, plan.zipf)?);
            let one = |index: u32| {
                let class = parts.of_lane[index as usize % plan.lanes()];
                let size = parts.classes[class].record_bytes.draw(plan.seed ^ u64::from(index));
                let (keys, record_bytes) = (Arc::clone(&keys), size as usize);
                let settings = Settings { profile: *profile, seed: plan.seed, keys, record_bytes };
                let generator = Generator::new(&settings, &name(index))?;
                let may = plan.records.map_or(u64::MAX, |total| share(index, total));
                Ok((Records::Made(Box::new(generator)), may))
            };
            (0..plan.producers).map(one).collect()
        }
        Source::File(path) => {
            let file = Arc::new(ReplayFile::read(path, plan.file_part)?);
            let total = plan.records.or(plan.duration.is_none().then_some(file.len()));
            let one = |index: u32| {
                let records = Records::Replayed {
                    file: Arc::clone(&file),
                    producer: name(index),
                    sequence: 0,
                    next: index.into(),
                    step: count,
                };
                (records, total.map_or(u64::MAX, |total| share(index, total)))
            };
            Ok((0..plan.producers).map(one).collect())
        }
    }
}

pub(super) fn manifest(plan: &Plan, producers: &[(Records, u64)]) -> Manifest {
    let account = |(records, _): &(Records, u64)| Account {
        producer: records.producer().to_owned(),
        ..Account::default()
    };
    Manifest {
        version: MANIFEST_VERSION,
        run: plan.run_name.clone(),
        stream: plan.stream.clone(),
        profile: plan.source.name().to_owned(),
        seed: plan.seed,
        idempotent: plan.idempotent,
        producers: producers.iter().map(account).collect(),
    }
}

/// Deals the producers to the lanes, and the lanes to the feeders. The queues are in the order of the lanes.
pub(super) fn feed(
    plan: &Plan,
    parts: &Parts,
    producers: Vec<(Records, u64)>,
) -> Result<(Vec<Feeder>, Vec<Queue>), RunError> {
    let lanes = plan.lanes();
    let mut of_lane: Vec<Vec<_>> = (0..lanes).map(|_| Vec::new()).collect();
    for (index, producer) in producers.into_iter().enumerate() {
        of_lane[index % lanes].push(producer);
    }
    let count = lanes.min(plan.feeders as usize);
    let mut of_feeder: Vec<Vec<BodyMaker>> = (0..count).map(|_| Vec::new()).collect();
    for (index, producers) in of_lane.into_iter().enumerate() {
        let class = parts.of_lane[index];
        let recipe = Recipe {
            head: Arc::clone(&parts.heads[class]),
            stream: plan.stream.clone(),
            prefix: plan.target.prefix.clone(),
            authority: plan.target.authority.clone(),
            credentials: plan.credentials.clone(),
            batch: parts.classes[class].batch,
            compression: plan.compression,
            idempotent: plan.idempotent,
            seed: plan.seed,
        };
        of_feeder[index % count].push(BodyMaker::new(producers, recipe)?);
    }
    let batch = parts.classes.iter().map(|class| class.batch.high).max().unwrap_or(1);
    let record_bytes = parts.classes.iter().map(|class| class.record_bytes.high).max().unwrap_or(0);
    let ahead = bodies::ahead(lanes as u32, batch, record_bytes);
    let (feeders, queues): (Vec<_>, Vec<_>) =
        of_feeder.into_iter().map(|makers| Feeder::start(makers, ahead)).unzip();
    let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
    let in_order = (0..lanes).filter_map(|index| queues[index % count].next()).collect();
    Ok((feeders, in_order))
}

/// The lanes, each with its producers' accounts, and who wakes them.
pub(super) fn lanes(
    plan: &Plan,
    parts: &Parts,
    manifest: &Manifest,
    queues: Vec<Queue>,
    start: Instant,
) -> (Vec<Lane>, Vec<Pacer>) {
    let due: Vec<_> = queues.iter().map(|_| Arc::new(Notify::new())).collect();
    let mut lanes = Vec::with_capacity(queues.len());
    let mut places = vec![0; parts.classes.len()];
    for (index, (queue, due)) in queues.into_iter().zip(&due).enumerate() {
        let accounts = manifest.producers.iter().skip(index).step_by(plan.lanes()).cloned().collect();
        let class = parts.of_lane[index];
        let head = Arc::clone(&parts.heads[class]);
        let place = places[class];
        places[class] += 1;
        let (index, schedule, due) = (index as u32, parts.schedule(plan, class), Arc::clone(due));
        lanes.push(Lane { index, class, place, schedule, queue, head, due, accounts });
    }
    let mut pacers = Vec::new();
    for class in 0..parts.classes.len() {
        let of_class = due.iter().zip(&parts.of_lane).filter(|(_, of)| **of == class);
        let of_class = of_class.map(|(due, _)| Arc::clone(due)).collect();
        let schedule = parts.schedule(plan, class);
        pacers.extend(schedule.map(|schedule| Pacer::start(schedule, start, of_class)));
    }
    (lanes, pacers)
}
