//! One core for the server and another for the client.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores of this machine, or none on a machine with one.
pub struct Cores(Option<(CpuSet, CpuSet)>);

impl Cores {
    /// The first two cores that this process may use.
    pub fn of_this_machine() -> Self {
        let allowed = sched_getaffinity(None).unwrap();
        let mut found = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).map(|core| {
            let mut set = CpuSet::new();
            set.set(core);
            set
        });
        Self(found.next().zip(found.next()))
    }

    /// What to say about it.
    pub fn describe(&self) -> &'static str {
        match self.0 {
            Some(_) => "server on one core, client on the other",
            None => "server and client share the only core: ratios hold, absolute figures do not",
        }
    }

    /// Moves the calling thread to the client's core. Threads that it starts are bound to it as well.
    pub fn be_client(&self) {
        if let Some((_, client)) = &self.0 {
            sched_setaffinity(None, client).unwrap();
        }
    }

    /// Does something on the server's core: threads that are started stay there. Then moves to the client's core.
    pub fn on_server<T>(&self, start: impl FnOnce() -> T) -> T {
        if let Some((server, _)) = &self.0 {
            sched_setaffinity(None, server).unwrap();
        }
        let started = start();
        self.be_client();
        started
    }
}
