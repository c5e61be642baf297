//! The shards of a topic as the rest of the program knows them: put in their place when the node has heard of them, and when
//! another generation of them begins.

use std::fmt;
use std::sync::Arc;

use super::growth::generations::{Generation, Generations};
use super::growth::window::Window;
use super::partition::PartitionLog;
use super::topic::TopicLog;
use crate::record::ShardId;
use crate::stream::layout::ShardFacts;

/// All shards of a topic, in the order of their ids.
#[derive(Debug)]
pub struct TopicShards {
    /// What is known of each, and its records.
    pub shards: Vec<(ShardFacts, Arc<Window>)>,
    /// The id that the next one gets.
    pub next_id: ShardId,
}

/// Who is told of shards, whenever there are others.
pub(super) type Tell = Box<dyn FnMut(TopicShards) + Send>;

/// The shards that the rest of the program knows.
#[derive(Default)]
pub(super) struct Installed {
    /// Number of the newest generation; zero before there is one.
    generation: u32,
    /// In the order of their ids.
    windows: Vec<Arc<Window>>,
    pub tell: Option<Tell>,
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installed").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl TopicLog {
    /// Begins with these partitions: all of the newest generation. Returns whether they are, and what was asked about them
    /// before this may be shown.
    pub(super) fn has_partitions(&self, logs: Vec<Arc<PartitionLog>>) -> bool {
        let mut installed = self.installed();
        let generations = self.growth().generations();
        let are_all = generations.newest().is_some_and(|newest| newest.partitions as usize == logs.len());
        if !are_all || !self.growth().may_show() {
            return false;
        }
        self.install(&mut installed, &generations, logs);
        true
    }

    /// Closes shards and opens others where there is another generation. Before it has begun with one this does nothing.
    pub(super) fn follow_generations(self: &Arc<Self>) {
        let mut installed = self.installed();
        let generations = self.growth().generations();
        let Some(newest) = generations.newest().filter(|newest| newest.number > installed.generation) else {
            return;
        };
        if installed.generation == 0 {
            return;
        }
        let mut logs = self.partitions().to_vec();
        let new = logs.len()..newest.partitions as usize;
        // Nothing of them was counted yet, so they begin with their first record, wherever they are now.
        logs.extend(new.map(|partition| {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            Arc::new(PartitionLog::new(partition, self.weak(), (0, 0)))
        }));
        let (number, partitions) = (newest.number, newest.partitions);
        self.install(&mut installed, &generations, logs);
        drop(installed);
        self.bell.ring();
        tracing::info!(
            stream = %self.stream(), topic = self.name(), generation = number, partitions,
            "the shards have followed the partitions of the topic"
        );
    }

    fn install(&self, installed: &mut Installed, generations: &Generations, logs: Vec<Arc<PartitionLog>>) {
        let shards = generations.shards();
        for (placed, window) in shards.iter().zip(&installed.windows) {
            if let Some(end) = placed.facts.end {
                window.close(end.0);
            }
        }
        let known = installed.windows.len();
        for placed in shards.iter().skip(known) {
            let Some(log) = logs.get(placed.partition as usize) else { continue };
            let (from, end) = (placed.facts.first.0, placed.facts.end.map(|end| end.0));
            let window = Window::new(Arc::clone(log), placed.generation, from, end);
            installed.windows.push(Arc::new(window));
        }
        self.put_partitions(logs.into());
        installed.generation = generations.newest().map_or(0, |newest| newest.number);
        let windows = installed.windows.iter().map(Arc::clone);
        let shards = shards.iter().map(|placed| placed.facts).zip(windows).collect();
        if let Some(tell) = &mut installed.tell {
            tell(TopicShards { shards, next_id: generations.next_id() });
        }
    }

    /// Whether the configuration names the number of partitions of one of these generations, if it names any.
    ///
    /// # Errors
    /// What to do.
    pub(super) fn wants(&self, generations: &[Generation]) -> Result<(), String> {
        let Some(wanted) = self.log().partitions else { return Ok(()) };
        let has = |generation: &Generation| generation.partitions == wanted;
        let Some(newest) = generations.last().filter(|_| !generations.iter().any(has)) else { return Ok(()) };
        let count = newest.partitions;
        Err(format!(
            "it has {count} partitions, and the stream is to have {wanted} shards: write shards = {count} or leave it out, \
             or create another topic"
        ))
    }
}
