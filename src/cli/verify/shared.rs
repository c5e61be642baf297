//! Deliveries whose shards are shared by nodes: each shard has a ledger of its own, in a store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path as Key;

use super::kafka::Asked;
use super::topic::Topic;
use super::{Means, Report};
use crate::config::checked::{Cluster, Config, Delivery, Pipeline};
use crate::delivery::ledger::shared::{SharedPlace, files_of};
use crate::delivery::sink::open_store;
use crate::delivery::verify::{self, DeliveryReport, Evidence, Finding, Held, Kind, RecordSource, Sorter};
use crate::record::ShardId;
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::scratch_disk::ScratchDisk;

/// Where the copy of a ledger is, on a disk in memory.
const COPY: &str = "/ledger";

/// The ledgers of a cluster.
struct Ledgers<'a, 'd> {
    store: Arc<dyn ObjectStore>,
    root: Key,
    means: &'a Means<'a, 'd>,
}

/// Pipelines whose deliveries are shared, and by what.
pub(super) fn shared(config: &Config) -> impl Iterator<Item = (&Cluster, &Pipeline)> {
    let cluster = config.node.cluster.as_ref();
    let is_shared = |pipeline: &&Pipeline| pipeline.stream.log.kafka().is_some();
    let pipelines = config.pipelines.iter().filter(is_shared);
    pipelines.filter_map(move |pipeline| Some((cluster?, pipeline)))
}

/// Adds a report of each shard of each delivery that is shared. Nodes may be at work meanwhile: what they have closed and
/// not stored is pending.
pub(super) fn verify_all(config: &Config, means: &Means<'_, '_>, report: &mut Report) {
    for (cluster, pipeline) in shared(config) {
        let stream = &pipeline.stream.name;
        if pipeline.deliveries.is_empty() {
            continue;
        }
        let (opened, mut asked) = (open_store(&cluster.ledger), Asked::new(config, pipeline, means));
        for delivery in &pipeline.deliveries {
            let found = match &opened {
                Ok((store, root)) => {
                    let (store, root) = (Arc::clone(store), root.clone());
                    let ledgers = Ledgers { store, root, means };
                    means.runtime.block_on(ledgers.verify(stream, delivery, &mut asked))
                }
                Err(error) => Err(error.to_string()),
            };
            match found {
                Ok(reports) if reports.is_empty() => {
                    report
                        .notes
                        .push(format!("delivery '{}' of stream '{stream}' has no ledger yet", delivery.name));
                }
                Ok(reports) => report.deliveries.extend(reports),
                Err(error) => report.deliveries.push(unreadable(stream, &delivery.name, error)),
            }
        }
        report.notes.push(asked.note());
    }
}

/// A ledger, or all of them, cannot be looked at.
fn unreadable(stream: &str, delivery: &str, error: String) -> DeliveryReport {
    let (stream, delivery) = (stream.to_owned(), delivery.to_owned());
    let mut report = DeliveryReport { stream, delivery, ..DeliveryReport::default() };
    report.find(Finding::new(Kind::Ledger, error));
    report
}

impl Ledgers<'_, '_> {
    async fn verify(
        &self,
        stream: &str,
        delivery: &Delivery,
        asked: &mut Asked<'_>,
    ) -> Result<Vec<DeliveryReport>, String> {
        let mut reports = Vec::new();
        let mut shards = self.shards(stream, &delivery.name).await?;
        // Those that nobody has delivered yet have no ledger.
        let known = asked.now();
        let held = known.iter().flat_map(Topic::held).filter(|held: &Held| held.next > held.first);
        shards.extend(held.map(|held| held.shard));
        drop(known);
        for shard in shards {
            let name = format!("{} {shard}", delivery.name);
            self.means.display.of(stream, &name);
            let place = SharedPlace::of(&self.store, &self.root, (stream, &delivery.name, shard));
            let report = match files_of(&place, Path::new(COPY)).await {
                Ok(copy) => {
                    // Only now, so that the ledger is not beyond its end.
                    let topic = asked.now().map(|topic| topic.only(shard));
                    self.verify_one((stream, &name), delivery, (&*copy, topic)).await
                }
                Err(error) => unreadable(stream, &name, error.to_string()),
            };
            reports.push(report);
        }
        Ok(reports)
    }

    async fn verify_one(
        &self,
        (stream, name): (&str, &str),
        delivery: &Delivery,
        (copy, topic): (&dyn Disk, Option<Topic>),
    ) -> DeliveryReport {
        // Whoever looks makes no folder.
        let scratch: Arc<dyn Disk> = Arc::new(ScratchDisk::over(Arc::new(RealDisk)));
        let evidence = Evidence {
            disk: copy,
            ledger: Path::new(COPY),
            log: topic.as_ref().map(|topic| topic as &dyn RecordSource),
            epochs: &mut Sorter::new(stream, delivery, scratch),
            quick: self.means.quick,
            progress: self.means.display,
        };
        verify::verify(stream, name, evidence).await
    }

    /// Shards that have a ledger, in order.
    async fn shards(&self, stream: &str, delivery: &str) -> Result<BTreeSet<ShardId>, String> {
        let folder = self.root.clone().join(stream).join(delivery);
        let listed =
            self.store.list_with_delimiter(Some(&folder)).await.map_err(|error| error.to_string())?;
        let shard = |path: &Key| ShardId::parse(path.filename()?);
        Ok(listed.common_prefixes.iter().filter_map(shard).collect())
    }
}
