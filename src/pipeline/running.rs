//! The deliveries that run: started, stopped one by one, and gone on with.

use std::sync::Arc;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::site::Site;
use crate::config::limits::DELIVERY_STOP_WAIT;
use crate::delivery::{Begin, OpenError, Parts, Positions, Status, Stop, Worker};
use crate::telemetry::metrics::Registry;

/// A delivery.
pub(super) struct Running {
    /// What it was built from.
    pub parts: Arc<Parts>,
    stop: Stop,
    /// Where it has ended, once it has.
    ended: watch::Receiver<Option<Positions>>,
}

/// A delivery that was built and does not run yet.
pub(super) type Built = (Arc<Parts>, Worker);

/// Some deliveries: those of a stream, by their names or all of them.
#[derive(Debug, Clone)]
pub(super) struct Which {
    stream: String,
    deliveries: Option<Vec<String>>,
}

/// Deliveries that were told to stop and have not.
#[derive(Debug, Error)]
#[error(
    "deliveries of stream '{stream}' have been told to stop and are still at work after {} s: the disk does not answer, \
     or the sink of a stream in memory takes nothing", DELIVERY_STOP_WAIT.as_secs()
)]
pub struct StillAtWork {
    stream: String,
}

impl StillAtWork {
    /// Those of a stream.
    pub fn of(stream: &str) -> Self {
        Self { stream: stream.to_owned() }
    }
}

impl Which {
    /// All of a stream.
    pub fn all_of(stream: &str) -> Self {
        Self { stream: stream.to_owned(), deliveries: None }
    }

    /// Those of these names.
    pub fn named<'a>(stream: &str, deliveries: impl Iterator<Item = &'a str>) -> Self {
        Self { stream: stream.to_owned(), deliveries: Some(deliveries.map(str::to_owned).collect()) }
    }

    fn has(&self, parts: &Parts) -> bool {
        let is_named = |names: &Vec<String>| names.contains(&parts.config.name);
        **parts.stream.name() == *self.stream && self.deliveries.as_ref().is_none_or(is_named)
    }
}

impl Running {
    fn start((parts, worker): Built, site: &Site, runtime: &Handle) -> Self {
        let (stop, phases) = (Stop::new(), site.phases.clone());
        let (told, (end, ended)) = (stop.clone(), watch::channel(None));
        let _guard = runtime.enter();
        site.workers.spawn(async move {
            let ended = worker.run(phases, told).await;
            end.send_replace(Some(ended.into_positions()));
        });
        Self { parts, stop, ended }
    }

    /// Where it has ended, if it has. One that has panicked has ended somewhere.
    fn positions(&self) -> Option<Positions> {
        let positions = self.ended.borrow().clone();
        positions.or_else(|| self.ended.has_changed().is_err().then(Vec::new))
    }
}

impl Site {
    /// What is to be seen of all deliveries.
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        let mut statuses: Vec<_> =
            self.running().iter().map(|running| Arc::clone(&running.parts.status)).collect();
        statuses.extend(self.fan_outs().iter().map(|running| Arc::clone(&running.parts.status)));
        statuses
    }

    /// What deliveries were built from.
    pub(super) fn parts_of(&self, which: &Which) -> Vec<Arc<Parts>> {
        let running = self.running();
        let parts = running.iter().map(|running| &running.parts).filter(|parts| which.has(parts));
        parts.map(Arc::clone).collect()
    }

    /// Starts what was built. It takes the place of deliveries of the same names, which must have ended.
    pub(super) fn start(&self, built: Vec<Built>, runtime: &Handle) {
        let mut running = self.running();
        for built in built {
            let (stream, name) = (Arc::clone(built.0.stream.name()), built.0.config.name.clone());
            let started = Running::start(built, self, runtime);
            let is_same =
                |known: &Running| *known.parts.stream.name() == stream && known.parts.config.name == name;
            match running.iter_mut().find(|known| is_same(known)) {
                Some(known) => *known = started,
                None => running.push(started),
            }
        }
    }

    /// Tells deliveries to stop, and waits until they have. They are still to be seen then.
    ///
    /// # Errors
    /// If they do not for a long time. They stop when they can.
    pub(super) async fn stop(&self, which: &Which) -> Result<(), StillAtWork> {
        self.tell(which, Stop::tell);
        self.stopped(which).await
    }

    /// The same for deliveries that nothing follows: what they cannot store is given up after a while.
    ///
    /// # Errors
    /// If they do not for a long time.
    pub(super) async fn stop_for_good(&self, which: &Which) -> Result<(), StillAtWork> {
        self.tell(which, Stop::tell_for_good);
        self.stopped(which).await
    }

    /// Tells deliveries to stop for good. Returns whether all of them have already, and does not wait for it.
    pub(super) fn has_stopped_for_good(&self, which: &Which) -> bool {
        self.tell(which, Stop::tell_for_good);
        self.running()
            .iter()
            .filter(|running| which.has(&running.parts))
            .all(|running| running.positions().is_some())
    }

    async fn stopped(&self, which: &Which) -> Result<(), StillAtWork> {
        let ended = tokio::time::timeout(DELIVERY_STOP_WAIT, self.ended(which)).await;
        ended.map_err(|_| StillAtWork::of(&which.stream))
    }

    fn tell(&self, which: &Which, what: impl Fn(&Stop)) {
        self.running()
            .iter()
            .filter(|running| which.has(&running.parts))
            .for_each(|running| what(&running.stop));
    }

    async fn ended(&self, which: &Which) {
        let waits = |running: &&Running| which.has(&running.parts);
        let ended: Vec<_> =
            self.running().iter().filter(waits).map(|running| running.ended.clone()).collect();
        for mut ended in ended {
            // One that has panicked has ended as well.
            let _ = ended.wait_for(Option::is_some).await;
        }
    }

    /// Whether some of these were told to stop, or have ended.
    pub(super) fn is_stopping(&self, which: &Which) -> bool {
        self.running().iter().any(|running| which.has(&running.parts) && running.stop.is_told())
    }

    /// Where deliveries have ended.
    pub(super) fn end_of(&self, parts: &Arc<Parts>) -> Option<Positions> {
        let running = self.running();
        running.iter().find(|running| Arc::ptr_eq(&running.parts, parts)).and_then(Running::positions)
    }

    /// Knows deliveries no more, which have ended.
    pub(super) fn forget_deliveries(&self, which: &Which) {
        self.running().retain(|running| !which.has(&running.parts));
    }

    /// Goes on with those that have ended, as they were. Blocks the thread.
    pub(super) fn go_on(&self, which: &Which, runtime: &Handle) {
        for parts in self.parts_of(which) {
            let Some(positions) = self.end_of(&parts) else { continue };
            let parts = parts.after(positions, &self.registry);
            match Worker::new(&parts) {
                Ok(worker) => self.start(vec![(Arc::new(parts), worker)], runtime),
                Err(error) => {
                    tracing::error!(
                        stream = %parts.stream.name(), delivery = parts.config.name, %error,
                        "a delivery that was stopped for a change cannot go on: restart"
                    );
                    self.show_broken(&parts, &error);
                }
            }
        }
    }

    fn show_broken(&self, parts: &Parts, error: &OpenError) {
        for running in self.running().iter().filter(|running| running.parts.reader == parts.reader) {
            if Arc::ptr_eq(&running.parts.stream, &parts.stream) {
                running.parts.status.broken(&format!("it cannot go on after a change ({error}): restart"));
            }
        }
    }

    /// Has deliveries go on that were told to stop and have not in time: at once if they can, or when they have. Nobody
    /// else changes anything meanwhile.
    pub(super) fn go_on_later(
        self: &Arc<Self>,
        which: Which,
        changing: &Arc<tokio::sync::Mutex<()>>,
        runtime: &Handle,
    ) {
        let has_ledger = |parts: &Arc<Parts>| parts.ledger.is_some();
        if !self.parts_of(&which).iter().any(has_ledger) {
            self.tell(&which, Stop::take_back);
        }
        let (site, changing, handle) = (Arc::clone(self), Arc::clone(changing), runtime.clone());
        runtime.spawn(async move {
            for parts in site.parts_of(&which) {
                let one = Which::named(&which.stream, std::iter::once(parts.config.name.as_str()));
                let ended = site.ended(&one);
                if parts.ledger.is_some() {
                    ended.await;
                } else if tokio::time::timeout(DELIVERY_STOP_WAIT, ended).await.is_err() {
                    // The wish was taken back in time.
                    continue;
                }
                let _alone = changing.lock().await;
                let (site, handle) = (Arc::clone(&site), handle.clone());
                // Only a panic or the end of the runtime ends it without a result.
                let _ = tokio::task::spawn_blocking(move || site.go_on(&one, &handle)).await;
            }
        });
    }
}

impl Parts {
    /// The same for one that goes on behind one that has ended at `positions`. With a ledger that says where; or, as
    /// long as it says nothing, nothing is in a file yet.
    pub(super) fn after(&self, positions: Positions, registry: &Registry) -> Self {
        let status = Arc::new(Status::new(Arc::clone(&self.stream), &self.config.name, registry));
        let begin = match &self.ledger {
            Some(_) => self.begin.clone(),
            None => Begin::Behind(positions, Arc::clone(&self.status)),
        };
        Self { begin, status, ..self.clone() }
    }
}
