//! Deliveries of streams whose topics nobody has told of when the process started: they are built once that is so.
//!
//! A delivery must not be built before: shards that it knows by its ledger, and that are not there, would be taken for
//! gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::build::NewDelivery;
use super::site::Site;
use crate::runtime::budget::Budget;
use crate::runtime::phases::Phase;
use crate::stream::Stream;

/// How often it is looked whether the topic is there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A delivery that waits.
pub(super) struct Late {
    /// What it is to read.
    pub stream: Arc<Stream>,
    /// What it is.
    pub new: NewDelivery,
    /// Pays for it.
    pub budget: Arc<Budget>,
}

impl Site {
    /// Has each begin when its topic is there.
    pub(super) fn start_late(self: &Arc<Self>, late: Vec<Late>, runtime: &Handle) {
        let _guard = runtime.enter();
        for late in late {
            let (site, handle) = (Arc::clone(self), runtime.clone());
            self.workers.spawn(async move { site.begin_late(late, &handle).await });
        }
    }

    async fn begin_late(self: Arc<Self>, late: Late, runtime: &Handle) {
        while late.stream.layout().shards().is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.phases.reached(Phase::Draining) => return,
            }
        }
        let Late { stream, new, budget } = late;
        let delivery = new.config.name.clone();
        let (site, of) = (Arc::clone(&self), Arc::clone(&stream));
        let building = tokio::task::spawn_blocking(move || {
            let parts = Arc::new(site.parts(site.logs().as_ref(), &of, new, budget)?);
            let worker = site.worker(&parts)?;
            Ok::<_, super::StartError>((parts, worker))
        });
        match building.await {
            Ok(Ok(built)) => self.start(vec![built], runtime),
            Ok(Err(error)) => {
                tracing::error!(stream = %stream.name(), delivery, %error, "the delivery cannot begin: restart to try again");
            }
            // Only a panic or the end of the runtime ends it without a result.
            Err(_) => tracing::error!(stream = %stream.name(), delivery, "the delivery cannot begin"),
        }
    }
}
