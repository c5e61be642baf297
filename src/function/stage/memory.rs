//! A stage that has to wait for memory.

use super::{Outcomes, Stage};
use crate::function::shortage::{Shortage, Who};
use crate::function::work::{Group, Work};

impl Stage {
    fn short_of(&self, share: &'static str) -> Shortage<'_> {
        Shortage::new(Who { stream: self.parts.source.name(), function: self.caller.name(), share })
    }

    /// Waits until its account of the delivery share, which pays for what it reads and sends, is not spent.
    pub(super) async fn wait_for_memory(&self) {
        let budget = &self.parts.budget;
        let is_there = || !budget.is_taken_to(100);
        if is_there() {
            return;
        }
        let mut shortage = self.short_of("delivery");
        while !is_there() {
            shortage.wait(budget, is_there).await;
        }
        shortage.end();
    }

    /// Results, paid for from the ingest share as what clients put is: the edge refuses as well until there is memory.
    pub(super) async fn admitted(&self, work: &Work, outcomes: &Outcomes, why: &str) -> Vec<Group> {
        let make = || {
            let mut wanted = 0;
            work.results(outcomes, why, |bytes| {
                wanted += bytes;
                (self.parts.admit)(bytes).ok_or(wanted)
            })
        };
        let mut wanted = match make() {
            Ok(groups) => return groups,
            Err(wanted) => wanted,
        };
        let mut shortage = self.short_of("ingest");
        loop {
            let budget = &self.parts.admit_from;
            shortage.wait(budget, || budget.left() >= wanted).await;
            match make() {
                Ok(groups) => {
                    shortage.end();
                    return groups;
                }
                Err(bytes) => {
                    wanted = bytes;
                    shortage.pause().await;
                }
            }
        }
    }
}
