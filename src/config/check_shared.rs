//! What a pipeline may say where many nodes share streams in Kafka.

use super::checked::{Cluster, Stream};
use super::checker::Checker;

/// What of a pipeline matters here.
pub(super) struct Said<'a> {
    /// The stream, if nothing is wrong with it.
    pub stream: Option<&'a Stream>,
    /// Whether columns are learned.
    pub infers: bool,
    /// How many deliveries there are.
    pub deliveries: usize,
}

/// Refuses what cannot be done by many nodes, or not by one with these roles.
pub(super) fn refuse_in_cluster(cluster: Option<&Cluster>, said: &Said<'_>, checker: &mut Checker<'_>) {
    let (Some(cluster), Some(stream)) = (cluster, said.stream) else { return };
    if stream.log.kafka().is_some() {
        if said.infers && said.deliveries > 0 {
            checker.problem_with_help(
                "ingest.schema",
                "schema = \"infer\" cannot be had where nodes share the deliveries of a stream ([cluster]): each of them would \
                 learn columns of its own",
                "write the columns: forebay schema show prints those that one node has learned",
            );
        }
        return;
    }
    if !cluster.is_edge {
        checker.problem_with_help(
            "stream",
            "the stream is on this machine alone, and takes no records: roles of [cluster] has no \"edge\"",
            "write log = { kafka = \"main\", topic = \"events\" }, or add \"edge\" to the roles",
        );
    } else if !cluster.delivers && said.deliveries > 0 {
        checker.problem_with_help(
            "delivery[0]",
            "the stream is on this machine alone, and nobody delivers it: roles of [cluster] has no \"delivery\"",
            "write log = { kafka = \"main\", topic = \"events\" }, or add \"delivery\" to the roles",
        );
    }
}
