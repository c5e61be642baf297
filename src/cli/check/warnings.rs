//! What a configuration may say, and is seldom meant.

use crate::config::checked::Config;

/// One sentence each.
pub(super) fn of(config: &Config) -> Vec<String> {
    if config.node.cluster.is_some() {
        return Vec::new();
    }
    let delivered = config.pipelines.iter().filter(|pipeline| {
        pipeline.stream.log.kafka().is_some()
            && !(pipeline.deliveries.is_empty() && pipeline.fan_outs.is_empty())
    });
    let warning = |stream: &str| {
        format!(
            "stream '{stream}' is in Kafka, and this node delivers all of it, since there is no [cluster]: a second node like \
             this one would deliver everything once more; write [cluster] if there is to be one"
        )
    };
    delivered.map(|pipeline| warning(&pipeline.stream.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{node_for_tests, pipeline_of_text};

    fn warnings(node: &str, pipeline: &str) -> Vec<String> {
        let node = node_for_tests(node);
        let pipelines = vec![pipeline_of_text(pipeline, &node).unwrap_or_else(|wrong| panic!("{wrong}"))];
        of(&Config { node, pipelines })
    }

    #[test]
    fn a_stream_in_kafka_that_one_node_delivers_without_a_cluster_is_told_of() {
        let log = "[stream]\nname = \"s\"\nlog = { kafka = \"b:9092\", topic = \"t\" }\n";
        let lake = format!("{log}[[delivery]]\nname = \"lake\"\n");
        let bus =
            format!("{log}[[delivery]]\nname = \"bus\"\nsink = {{ kafka = \"b:9092\", topic = \"u\" }}\n");
        let cluster = "[cluster]\nledger = \"file:///ledgers/\"\n";
        for pipeline in [&lake, &bus] {
            let said = warnings("", pipeline);
            assert!(said.len() == 1 && said[0].starts_with("stream 's' is in Kafka"), "{said:?}");
            assert_eq!(warnings(cluster, pipeline), Vec::<String>::new());
        }
        assert_eq!(warnings("", log), Vec::<String>::new(), "nothing is delivered");
        let local = "[stream]\nname = \"s\"\n[[delivery]]\nname = \"lake\"\n";
        assert_eq!(warnings("", local), Vec::<String>::new());
    }
}
