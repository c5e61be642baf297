//! Deliveries of streams in Kafka, whose shards are shared by the nodes of a cluster.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::StartError;
use super::agreement;
use super::build::{NewDelivery, is_of_pipeline};
use super::fan_outs::NewFanOut;
use super::logs::Logs;
use super::site::Site;
use crate::config::checked::{Cluster, KafkaLog, Node};
use crate::delivery::fan_out::{WhenFenced, identity, origin_of_topic, shared_identity};
use crate::delivery::sharing::{Ledgers, Recipe, Sharing, SharingReport, Template};
use crate::delivery::sink::{SinkError, SinkErrorClass, open_store};
use crate::kafka::Connection;
use crate::kafka::ownership::{Group, Ownership};
use crate::runtime::budget::Budget;
use crate::stream::Stream;
use crate::stream::kafka::growth::Agreement;
use crate::tap::named::Shelves;
use crate::tap::named::all::Together;

/// A delivery that is to be shared, and how its group is reached.
pub(super) struct ToShare {
    sharing: Arc<Sharing>,
    connection: Arc<Connection>,
}

impl Site {
    /// The cluster of nodes that share deliveries of streams in Kafka, if there is one.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        self.node.cluster.as_ref()
    }

    /// A delivery that the nodes of `cluster` share. Nothing runs yet.
    ///
    /// # Errors
    /// If its sink or the store with its ledgers cannot be used; or if it is of this node alone.
    pub(super) fn share(
        &self,
        cluster: &Cluster,
        stream: &Arc<Stream>,
        new: NewDelivery,
        budget: Arc<Budget>,
    ) -> Result<ToShare, StartError> {
        let (name, delivery) = (stream.name().to_string(), new.config.name.clone());
        let not_shared = || StartError::NotShared { stream: name.clone(), delivery: delivery.clone() };
        let log = stream.topic().filter(|_| is_of_pipeline(&new.config)).ok_or_else(not_shared)?.log();
        let failed = |source| StartError::Sink { stream: name.clone(), delivery: delivery.clone(), source };
        let parts = self.parts(None, stream, new, budget)?;
        let ledgers = self.ledgers(cluster).map_err(failed)?;
        Ok(self.to_share(cluster, (stream, log), Recipe::Files { parts: Box::new(parts), ledgers }))
    }

    /// The same of a delivery into Kafka. There are no ledgers: positions are where it delivers to. `None` if the records
    /// of the stream are on this machine alone.
    pub(super) fn share_fan_out(
        &self,
        cluster: &Cluster,
        stream: &Arc<Stream>,
        new: &NewFanOut,
    ) -> Option<ToShare> {
        let log = stream.topic()?.log();
        let shared = shared_identity(&cluster.group, &log.topic, (&**stream.name(), &*new.config.name));
        let mut parts = self.fan_out_parts(shared, stream, new);
        parts.when_fenced = WhenFenced::End;
        let alone = identity(&origin_of_topic(&log.topic), stream.name(), &new.config.name);
        parts.inherits = Some(alone);
        Some(self.to_share(cluster, (stream, log), Recipe::Messages { parts: Box::new(parts) }))
    }

    fn to_share(
        &self,
        cluster: &Cluster,
        (stream, log): (&Arc<Stream>, &KafkaLog),
        recipe: Recipe,
    ) -> ToShare {
        let (name, delivery) = (stream.name(), recipe.name());
        let group = Group { id: format!("{}.{name}.{delivery}", cluster.group), topic: log.topic.clone() };
        let connection = Connection::new(log.cluster.clone(), format!("delivery {name}/{delivery}"));
        let template = Template { recipe, group, registry: self.registry.clone() };
        ToShare { sharing: Sharing::new(template), connection }
    }

    /// Where the shards of a stream in a topic are agreed on: beside the ledgers of the cluster, or, where there is none, in
    /// the node's own folder.
    ///
    /// # Errors
    /// If that cannot be used.
    pub(super) fn agreement(
        &self,
        logs: Option<&Logs>,
        stream: &str,
        log: &KafkaLog,
    ) -> Result<Agreement, StartError> {
        let failed = |source| StartError::Layout { stream: stream.to_owned(), source };
        let of = (stream, log.topic.as_str());
        if let Some(cluster) = self.cluster() {
            return agreement::of_cluster(cluster, of).map_err(failed);
        }
        let missing = || SinkError::new(SinkErrorClass::Other, "the node has no folder: restart it");
        let layouts = logs.ok_or_else(missing).map_err(failed)?.folder.layouts();
        agreement::of_node(&layouts, of).map_err(failed)
    }

    fn ledgers(&self, cluster: &Cluster) -> Result<Ledgers, SinkError> {
        let (store, folder) = open_store(&cluster.ledger)?;
        let group = cluster.group.as_str().into();
        Ok(Ledgers { store, folder, node: node_name(&self.node).into(), group })
    }

    /// Where named cursors of the stream on `topic` are kept.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub(super) fn cursors_together(&self, (stream, topic): (&str, &str)) -> Result<Together, SinkError> {
        let Some(cluster) = self.cluster() else { return Ok(Together::Alone) };
        let (store, folder) = open_store(&cluster.ledger)?;
        Ok(Together::In(Shelves::of(&store, &folder, (stream, topic))))
    }

    /// Starts them: each joins its group.
    ///
    /// # Errors
    /// If there is no room for another thread.
    pub(super) fn start_shared(&self, to_share: Vec<ToShare>, runtime: &Handle) -> io::Result<()> {
        let _guard = runtime.enter();
        for ToShare { sharing, connection } in to_share {
            let ownership = Ownership::join(connection, sharing.group().clone())?;
            self.shared().push(Arc::clone(&sharing));
            self.workers.spawn(sharing.run(ownership, self.phases.clone()));
        }
        Ok(())
    }

    /// What this node has of each of them.
    pub fn shared_reports(&self) -> Vec<SharingReport> {
        self.shared().iter().map(|sharing| sharing.shards_report()).collect()
    }
}

/// What other nodes call this one: `node`, or the name of its machine, with the number of its process.
fn node_name(node: &Node) -> String {
    // Where the system does not tell, the process must do: it is for people alone.
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = node.name.clone().unwrap_or_else(|| machine().trim().to_owned());
    format!("{name}/{}", std::process::id())
}
