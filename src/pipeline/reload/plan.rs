//! What lies between two configurations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::checked::{Aws, Config, Delivery, FanOut, Node, Pipeline};
use crate::config::print_duration;
use crate::edge::gate::addresses::Addresses;
use crate::edge::gate::rules::Settings;

/// How to get from one configuration to another while the node runs.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What changes of the streams, in the order of the new configuration, with those that go at the end.
    pub steps: Vec<Step>,
    /// What changes of the node.
    pub parts: Vec<Part>,
}

/// A part of the node's settings that may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Who may come in, or for something else.
    Auth,
    /// Whose signatures are known, or how they are checked.
    AccessKeys,
    /// Lists of addresses, or rules about requests.
    Screen,
    /// How much may come in and go out of all together.
    Limits,
    /// What is put on record of requests, or where.
    AccessLog,
    /// Where refusals and changes are put on record.
    AuditLog,
    /// Who is told of traces and metrics.
    Telemetry,
}

impl Part {
    /// Those that are others.
    fn between(old: &Config, new: &Config) -> Vec<Self> {
        let (before, after) = (&old.node, &new.node);
        [
            (Part::Auth, before.auth != after.auth),
            (Part::AccessKeys, before.aws.access != after.aws.access),
            (Part::Screen, screen(old) != screen(new)),
            (Part::Limits, before.limits != after.limits),
            (Part::AccessLog, before.access_log != after.access_log),
            (Part::AuditLog, before.audit_log != after.audit_log),
            (Part::Telemetry, before.otlp != after.otlp),
        ]
        .into_iter()
        .filter_map(|(part, is_other)| is_other.then_some(part))
        .collect()
    }

    /// Whether it is about who or what may come in.
    pub fn is_of_gate(self) -> bool {
        matches!(self, Part::Auth | Part::AccessKeys | Part::Screen | Part::Limits)
    }

    fn line(self) -> &'static str {
        match self {
            Part::Auth => "[auth] and those whom it knows",
            Part::AccessKeys => "an [[access_key]], or how signatures are checked",
            Part::Screen => "[access], a [[rule]] or [screening]",
            Part::Limits => "[limits]",
            Part::AccessLog => "[access_log]",
            Part::AuditLog => "[audit_log]",
            Part::Telemetry => "[telemetry]",
        }
    }
}

/// What changes of a stream.
#[derive(Debug, Clone)]
pub enum Step {
    /// It comes.
    Add(Box<Pipeline>),
    /// It goes; its records stay until their retention is over.
    Remove(Box<Pipeline>),
    /// Something of it changes.
    Change(Box<Change>),
}

/// What changes of a stream that there is.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it will be.
    pub pipeline: Pipeline,
    /// Another number of shards.
    pub shards: Option<u32>,
    /// Another retention.
    pub retention: Option<Duration>,
    /// Whether records come in otherwise.
    pub ingest: bool,
    /// Names of deliveries that are new.
    pub added: Vec<String>,
    /// Names of those that become others, with the names of what is different.
    pub changed: Vec<(String, Vec<&'static str>)>,
    /// Names of those that go.
    pub removed: Vec<String>,
    /// What becomes of deliveries into Kafka: names, and the change in words.
    pub fan_outs: Vec<(String, &'static str)>,
}

impl Plan {
    /// From `old` to `new`.
    ///
    /// # Errors
    /// All that takes a restart, in words.
    pub fn between(old: &Config, new: &Config) -> Result<Self, Vec<String>> {
        let mut fixed = fixed_of_node(&old.node, &new.node);
        let mut steps = Vec::new();
        let of = |config: &Config, name: &str| {
            config.pipelines.iter().find(|pipeline| pipeline.stream.name == name).cloned()
        };
        for pipeline in &new.pipelines {
            match of(old, &pipeline.stream.name) {
                None => {
                    fixed.extend(in_topic(pipeline, "comes"));
                    steps.push(Step::Add(Box::new(pipeline.clone())));
                }
                Some(before) => {
                    fixed.extend(fixed_of_stream(&before, pipeline));
                    let change = Change::between(&before, pipeline);
                    fixed.extend(change.as_ref().and_then(|change| fixed_of_shared(&new.node, change)));
                    steps.extend(change.map(Box::new).map(Step::Change));
                }
            }
        }
        for pipeline in &old.pipelines {
            if of(new, &pipeline.stream.name).is_none() {
                if let Some(why) = in_topic(pipeline, "goes") {
                    fixed.push(why);
                } else if !pipeline.stream.durability.is_durable() {
                    let name = &pipeline.stream.name;
                    fixed.push(format!("stream '{name}' goes, whose records are in memory only"));
                }
                steps.push(Step::Remove(Box::new(pipeline.clone())));
            }
        }
        if fixed.is_empty() { Ok(Self { steps, parts: Part::between(old, new) }) } else { Err(fixed) }
    }

    /// Streams that come.
    pub fn coming(&self) -> impl Iterator<Item = &Pipeline> {
        self.steps.iter().filter_map(|step| match step {
            Step::Add(pipeline) => Some(&**pipeline),
            Step::Remove(_) | Step::Change(_) => None,
        })
    }

    /// What changes, a line each.
    pub fn lines(&self) -> Vec<String> {
        let parts = self.parts.iter().map(|part| part.line().to_owned());
        self.steps.iter().flat_map(Step::lines).chain(parts).collect()
    }
}

impl Step {
    /// The stream's name.
    pub fn stream(&self) -> &str {
        match self {
            Step::Add(pipeline) | Step::Remove(pipeline) => &pipeline.stream.name,
            Step::Change(change) => &change.pipeline.stream.name,
        }
    }

    fn lines(&self) -> Vec<String> {
        let stream = self.stream();
        match self {
            Step::Add(_) => vec![format!("stream '{stream}': new")],
            Step::Remove(_) => {
                vec![format!("stream '{stream}': gone; its records stay until their retention is over")]
            }
            Step::Change(change) => change.lines().map(|line| format!("stream '{stream}': {line}")).collect(),
        }
    }
}

impl Change {
    /// From `old` to `new`, if anything changes.
    pub fn between(old: &Pipeline, new: &Pipeline) -> Option<Self> {
        let find = |pipeline: &Pipeline, name: &str| {
            pipeline.deliveries.iter().find(|delivery| delivery.name == name).cloned()
        };
        let is_other_source = old.columns_source != new.columns_source;
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for delivery in &new.deliveries {
            match find(old, &delivery.name) {
                None => added.push(delivery.name.clone()),
                Some(before) => {
                    let mut differences = differences(&before, delivery);
                    if is_other_source && delivery.format.columns().is_some() {
                        differences.push("the source of its columns");
                    }
                    if !differences.is_empty() {
                        changed.push((delivery.name.clone(), differences));
                    }
                }
            }
        }
        let is_gone = |delivery: &&Delivery| find(new, &delivery.name).is_none();
        let removed: Vec<_> = old.deliveries.iter().filter(is_gone).map(|it| it.name.clone()).collect();
        let change = Self {
            shards: (old.stream.shards != new.stream.shards).then_some(new.stream.shards),
            retention: (old.stream.retention != new.stream.retention).then_some(new.stream.retention),
            ingest: old.ingest != new.ingest,
            added,
            changed,
            removed,
            fan_outs: fan_out_changes(&old.fan_outs, &new.fan_outs),
            pipeline: new.clone(),
        };
        let is_any = change.lines().next().is_some();
        is_any.then_some(change)
    }

    /// Whether deliveries start, or records come in otherwise.
    pub fn rebuilds(&self) -> bool {
        self.ingest || !self.added.is_empty() || !self.changed.is_empty()
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let shards = self.shards.map(|shards| format!("{shards} shards"));
        let retention = self.retention.map(|age| format!("retention {}", print_duration(age)));
        let ingest = self.ingest.then(|| "[ingest]".to_owned());
        let added = self.added.iter().map(|name| format!("delivery '{name}': new"));
        let removed = self.removed.iter().map(|name| format!("delivery '{name}': gone"));
        let changed =
            self.changed.iter().map(|(name, what)| format!("delivery '{name}': {}", what.join(", ")));
        let fan_outs = self.fan_outs.iter().map(|(name, what)| format!("delivery '{name}': {what}"));
        let files = changed.chain(added).chain(removed);
        shards.into_iter().chain(retention).chain(ingest).chain(files).chain(fan_outs)
    }
}

/// What of a delivery is different.
fn differences(old: &Delivery, new: &Delivery) -> Vec<&'static str> {
    [
        ("sink", old.sink != new.sink),
        ("format", old.format != new.format || old.extension != new.extension),
        ("buffer", old.buffer != new.buffer),
        ("prefix", old.prefix != new.prefix || old.error_prefix != new.error_prefix),
        ("dead letters", old.dead_letters != new.dead_letters),
        ("event time", old.event_time != new.event_time || old.placement != new.placement),
        ("selection", old.selection != new.selection),
        ("open partitions", old.open_partitions_max != new.open_partitions_max),
    ]
    .into_iter()
    .filter_map(|(what, is_other)| is_other.then_some(what))
    .collect()
}

/// What becomes of deliveries into Kafka.
fn fan_out_changes(old: &[FanOut], new: &[FanOut]) -> Vec<(String, &'static str)> {
    let find = |among: &[FanOut], name: &str| among.iter().find(|it| it.name == name).cloned();
    let coming = new.iter().filter_map(|after| match find(old, &after.name) {
        None => Some((after.name.clone(), "new")),
        Some(before) => (before != *after).then(|| (after.name.clone(), "how it goes into Kafka")),
    });
    let going = old.iter().filter(|before| find(new, &before.name).is_none());
    coming.chain(going.map(|before| (before.name.clone(), "gone"))).collect()
}

/// What is asked of requests first.
fn screen(config: &Config) -> (&Addresses, &Settings, BTreeMap<&str, &Addresses>) {
    let given = config.pipelines.iter().filter(|pipeline| pipeline.access.is_given());
    let streams = given.map(|pipeline| (pipeline.stream.name.as_str(), &pipeline.access));
    (&config.node.access, &config.node.rules, streams.collect())
}

/// What of the node cannot change while it runs.
fn fixed_of_node(old: &Node, new: &Node) -> Vec<String> {
    // Who may use it may change.
    let aws = Aws { access: new.aws.access.clone(), ..old.aws.clone() };
    [
        ("node", old.name != new.name),
        ("data_dir", old.data_dir != new.data_dir),
        ("memory_budget", old.memory_budget_bytes != new.memory_budget_bytes),
        ("[log]", old.log != new.log),
        ("[server] or a [[listener]]", old.server != new.server),
        ("[aws]", aws != new.aws),
        ("a [[function]]", old.functions != new.functions),
        ("[cache]", old.cache != new.cache),
        ("a [[kafka]]", old.kafka != new.kafka),
        ("[cluster]", old.cluster != new.cluster),
    ]
    .into_iter()
    .filter(|(_, is_other)| *is_other)
    .map(|(what, _)| format!("{what} has changed"))
    .collect()
}

/// The same of deliveries whose shards are shared by nodes: they stop with their node, one node after the other.
fn fixed_of_shared(node: &Node, change: &Change) -> Option<String> {
    let is_shared = node.cluster.is_some() && change.pipeline.stream.log.kafka().is_some();
    let is_other = !change.added.is_empty()
        || !change.changed.is_empty()
        || !change.removed.is_empty()
        || !change.fan_outs.is_empty();
    let name = &change.pipeline.stream.name;
    (is_shared && is_other).then(|| format!("a delivery of stream '{name}', which nodes share, has changed"))
}

/// Why a stream that comes or goes takes a restart, if its records are in a topic.
fn in_topic(pipeline: &Pipeline, what: &str) -> Option<String> {
    let log = pipeline.stream.log.kafka()?;
    Some(format!("stream '{}' {what}, which is in topic '{}' of Kafka", pipeline.stream.name, log.topic))
}

/// The same of a stream.
pub(in crate::pipeline) fn fixed_of_stream(old: &Pipeline, new: &Pipeline) -> Vec<String> {
    let (name, before, after) = (&new.stream.name, &old.stream, &new.stream);
    let is_gone = |delivery: &Delivery| new.deliveries.iter().all(|kept| kept.name != delivery.name);
    let is_in_memory = !after.durability.is_durable() && after.log.kafka().is_none();
    let is_source = after.log.kafka().is_some_and(|log| log.is_source);
    let is_gone_from_kafka = |it: &FanOut| new.fan_outs.iter().all(|kept| kept.name != it.name);
    let goes = old.deliveries.iter().any(is_gone) || old.fan_outs.iter().any(is_gone_from_kafka);
    let loses = is_in_memory && goes;
    [
        ("log or source", before.log != after.log),
        ("the schema of a source", is_source && old.ingest.schema != new.ingest.schema),
        ("durability", before.durability != after.durability),
        ("retention_bytes", before.retention_bytes != after.retention_bytes),
        ("idempotency_window", before.idempotency_window != after.idempotency_window),
        ("quotas", before.quotas != after.quotas),
        ("a delivery that goes, while what it has not stored is in memory only,", loses),
    ]
    .into_iter()
    .filter(|(_, is_other)| *is_other)
    .map(|(what, _)| format!("{what} of stream '{name}' has changed"))
    .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

#[cfg(test)]
mod tests;
