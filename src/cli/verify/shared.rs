//! Deliveries whose shards are shared by nodes: each shard has a ledger of its own, in a store.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path as Key;
use tokio::runtime::Runtime;

use super::Report;
use super::display::Display;
use crate::config::checked::{Cluster, Config, Delivery, Pipeline};
use crate::delivery::ledger::shared::{SharedPlace, files_of};
use crate::delivery::sink::open_store;
use crate::delivery::verify::{self, DeliveryReport, Evidence, Finding, Kind, Sorter};
use crate::record::ShardId;
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::scratch_disk::ScratchDisk;

/// Where the copy of a ledger is, on a disk in memory.
const COPY: &str = "/ledger";

/// The ledgers of a cluster.
struct Ledgers<'a, 'd> {
    store: Arc<dyn ObjectStore>,
    root: Key,
    quick: bool,
    display: &'a Display<'d>,
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
pub(super) fn verify_all(
    config: &Config,
    runtime: &Runtime,
    (quick, display): (bool, &Display<'_>),
    report: &mut Report,
) {
    for (cluster, pipeline) in shared(config) {
        let stream = &pipeline.stream.name;
        let opened = open_store(&cluster.ledger);
        for delivery in &pipeline.deliveries {
            let found = match &opened {
                Ok((store, root)) => {
                    let (store, root) = (Arc::clone(store), root.clone());
                    let ledgers = Ledgers { store, root, quick, display };
                    runtime.block_on(ledgers.verify(stream, delivery))
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
        report.notes.push(format!(
            "stream '{stream}' is in Kafka: ledgers and objects were compared with each other, and not with its records"
        ));
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
    async fn verify(&self, stream: &str, delivery: &Delivery) -> Result<Vec<DeliveryReport>, String> {
        let mut reports = Vec::new();
        for shard in self.shards(stream, &delivery.name).await? {
            let name = format!("{} {shard}", delivery.name);
            self.display.of(stream, &name);
            let place = SharedPlace::of(&self.store, &self.root, (stream, &delivery.name, shard));
            let report = match files_of(&place, Path::new(COPY)).await {
                Ok(copy) => self.verify_one((stream, &name), delivery, &*copy).await,
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
        copy: &dyn Disk,
    ) -> DeliveryReport {
        // Whoever looks makes no folder.
        let scratch: Arc<dyn Disk> = Arc::new(ScratchDisk::over(Arc::new(RealDisk)));
        let evidence = Evidence {
            disk: copy,
            ledger: Path::new(COPY),
            log: None,
            epochs: &mut Sorter::new(stream, delivery, scratch),
            quick: self.quick,
            progress: self.display,
        };
        verify::verify(stream, name, evidence).await
    }

    /// Shards that have a ledger, in order.
    async fn shards(&self, stream: &str, delivery: &str) -> Result<Vec<ShardId>, String> {
        let folder = self.root.clone().join(stream).join(delivery);
        let listed =
            self.store.list_with_delimiter(Some(&folder)).await.map_err(|error| error.to_string())?;
        let shard = |path: &Key| ShardId::parse(path.filename()?);
        let mut shards: Vec<ShardId> = listed.common_prefixes.iter().filter_map(shard).collect();
        shards.sort_unstable();
        Ok(shards)
    }
}
