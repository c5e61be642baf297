//! The process that runs over the log: started, polled so many times, killed, drained, stopped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::World;
use crate::config::checked::Delivery;
use crate::delivery::worker::Worker;
use crate::delivery::{Begin, Ended, OpenError, Parts, Status, StatusReport, Stop};
use crate::runtime::budget::Budget;
use crate::runtime::phases::{Phase, Phases};

/// The process that runs at the moment.
pub struct Process {
    worker: Pin<Box<dyn Future<Output = Ended>>>,
    status: Arc<Status>,
    phases: Phases,
    stop: Stop,
    budget: Arc<Budget>,
}

impl World {
    /// Starts a process whose ledger others can reach.
    pub async fn open(&mut self, config: Delivery, memory_bytes: u64) -> Result<(), OpenError> {
        assert!(!self.is_running());
        let parts = self.parts(config, memory_bytes)?;
        let worker = Worker::open(&parts).await?;
        self.begin(&parts, worker);
        Ok(())
    }

    /// Takes the process that runs out, to go on with it later.
    pub fn detach(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Goes on with a process.
    pub fn attach(&mut self, process: Option<Process>) {
        assert!(!self.is_running());
        self.process = process;
    }

    /// Starts a process, unless one runs. It may fail where the disk does.
    pub fn start(&mut self, config: Delivery, memory_bytes: u64) -> Result<(), OpenError> {
        assert!(!self.is_running());
        let parts = self.parts(config, memory_bytes)?;
        let worker = Worker::new(&parts)?;
        self.begin(&parts, worker);
        Ok(())
    }

    fn begin(&mut self, parts: &Parts, mut worker: Worker) {
        let (status, phases) = (Arc::clone(&parts.status), Phases::new());
        let budget = Arc::clone(&parts.budget);
        if let Some(book) = &mut worker.book {
            book.settled_max = self.settled_max;
        }
        phases.advance(Phase::Serving);
        let stop = Stop::new();
        let worker = Box::pin(worker.run(phases.clone(), stop.clone()));
        self.process = Some(Process { worker, status, phases, stop, budget });
    }

    /// Lets the process run until it has been woken `polls` times, or some time has passed.
    pub async fn run(&mut self, polls: u64, time: Duration) {
        let Some(process) = &mut self.process else { return tokio::time::sleep(time).await };
        let limited = Limited { worker: process.worker.as_mut(), polls };
        let ended = tokio::select! {
            ended = limited => ended,
            () = tokio::time::sleep(time) => None,
        };
        if ended.is_some() {
            self.process = None;
            self.ended = ended;
        }
    }

    /// Ends the process as SIGKILL does, or with the power of the machine.
    pub fn kill(&mut self, power: bool) {
        self.process = None;
        self.disk = if power { self.disk.crash() } else { self.disk.kill() };
    }

    /// Drains the process for some time; then it is killed. Returns the last balance, and whether it had ended by
    /// itself.
    pub async fn drain(&mut self, time: Duration) -> (StatusReport, bool) {
        let process = self.process.as_ref().unwrap();
        process.phases.advance(Phase::Draining);
        let status = Arc::clone(&process.status);
        self.run(u64::MAX, time).await;
        let has_ended = !self.is_running();
        if !has_ended {
            self.kill(false);
        }
        (status.report(), has_ended)
    }

    /// Stops the delivery while the process goes on.
    pub async fn stop(&mut self) {
        self.stop_told(Stop::tell).await;
    }

    /// The same for one that nothing is to follow.
    pub async fn stop_for_good(&mut self) {
        self.stop_told(Stop::tell_for_good).await;
    }

    async fn stop_told(&mut self, tell: impl Fn(&Stop)) {
        let Some(process) = &mut self.process else { return };
        tell(&process.stop);
        let positions = process.worker.as_mut().await.into_positions();
        let status = Arc::clone(&process.status);
        self.process = None;
        if !self.keeps_ledger {
            self.begin = Begin::Behind(positions, status);
        }
    }

    /// The balance of the process that runs.
    pub fn report(&self) -> StatusReport {
        self.process.as_ref().unwrap().status.report()
    }

    /// Bytes that the process holds, as far as they are charged.
    pub fn held_bytes(&self) -> u64 {
        self.process.as_ref().unwrap().budget.used()
    }
}

/// A worker that is polled so many times at most.
struct Limited<'a> {
    worker: Pin<&'a mut (dyn Future<Output = Ended> + 'static)>,
    polls: u64,
}

impl Future for Limited<'_> {
    type Output = Option<Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Ended>> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        if let Poll::Ready(ended) = self.worker.as_mut().poll(context) {
            return Poll::Ready(Some(ended));
        }
        if self.polls == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}
