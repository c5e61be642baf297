//! How many threads of each kind there are, by the cores.

use std::num::NonZeroUsize;
use std::thread;

/// Threads of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Those of the edge, each with a runtime and a listener of its own.
    pub edge_threads: usize,
    /// Those of the one runtime of all deliveries, which encode and upload.
    pub delivery_workers: usize,
}

impl Placement {
    /// As many of both kinds as there are cores, or as `[server] threads` has it.
    ///
    /// No core belongs to one kind: which of the two has more to do changes with the size of requests by a factor of
    /// ten (`docs/sizing.md`), and a core set aside is idle for the other. What that would give, an edge thread that
    /// does not wait for an encoder, short turns give as well (`runtime::turns`).
    pub fn of(threads: Option<NonZeroUsize>, cores: NonZeroUsize) -> Self {
        let threads = threads.unwrap_or(cores).get();
        Self { edge_threads: threads, delivery_workers: threads }
    }

    /// By the cores that this process may use, of which a limit of its control group counts as fewer.
    pub fn here(threads: Option<NonZeroUsize>) -> Self {
        Self::of(threads, thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_has_a_thread_of_each_kind() {
        for cores in [1, 2, 4, 16, 64] {
            let placement = Placement::of(None, NonZeroUsize::new(cores).unwrap());
            assert_eq!(placement, Placement { edge_threads: cores, delivery_workers: cores });
        }
    }

    #[test]
    fn threads_that_are_configured_count_for_both_kinds_whatever_the_machine_has() {
        let placement = Placement::of(NonZeroUsize::new(3), NonZeroUsize::new(16).unwrap());
        assert_eq!(placement, Placement { edge_threads: 3, delivery_workers: 3 });
    }
}
