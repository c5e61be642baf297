//! The time between the first connection and the first record: building, while a signal may come and somebody may look
//! on.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::recovery_display;
use super::serve::ServeError;
use crate::pipeline::StartError;
use crate::runtime::phases::Phases;

/// How long a recovery that is told to stop is waited for.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// How building has ended, if not with an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Built {
    /// Records are let in.
    Serving,
    /// The same, and a signal has come that ends it.
    ServingBut {
        /// Its name.
        signal: &'static str,
    },
    /// A signal came before it was done: nothing was let in.
    Stopped {
        /// Its name.
        signal: &'static str,
    },
}

/// Waits until `building` has ended, or tells it to when `stop` has a signal.
pub(super) async fn wait(
    mut building: JoinHandle<Result<(), StartError>>,
    phases: &Phases,
    stop: impl Future<Output = &'static str>,
) -> Result<Built, ServeError> {
    let panicked = |_| ServeError::Runtime(io::Error::other("building the stages has panicked"));
    let signal = tokio::select! {
        biased;
        built = &mut building => {
            built.map_err(panicked)??;
            return Ok(Built::Serving);
        }
        signal = stop => signal,
        never = recovery_display::show(phases) => match never {},
    };
    phases.progress().stop();
    match tokio::time::timeout(STOP_TIMEOUT, building).await {
        Ok(built) => match built.map_err(panicked)? {
            Ok(()) => Ok(Built::ServingBut { signal }),
            Err(StartError::Stopped) => Ok(Built::Stopped { signal }),
            Err(error) => Err(error.into()),
        },
        // It ends with the process: a recovery may be cut off anywhere, as by a crash.
        Err(_) => Ok(Built::Stopped { signal }),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::mpsc;

    use tokio::task::spawn_blocking;

    use super::*;

    const TERM: &str = "SIGTERM";

    #[tokio::test]
    async fn what_is_built_serves() {
        let built = wait(spawn_blocking(|| Ok(())), &Phases::new(), pending()).await.unwrap();
        assert_eq!(built, Built::Serving);
    }

    #[tokio::test]
    async fn an_error_is_told_before_and_after_a_signal() {
        for signal_comes in [false, true] {
            let (go, wait_for_it) = mpsc::channel::<()>();
            let building = spawn_blocking(move || {
                let _ = wait_for_it.recv();
                Err(StartError::Thread(io::Error::other("no thread")))
            });
            let stop = async move {
                drop(go);
                if signal_comes { TERM } else { pending().await }
            };
            let error = wait(building, &Phases::new(), stop).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot start a thread: no thread");
        }
    }

    #[tokio::test]
    async fn a_signal_stops_what_looks_at_its_progress() {
        let phases = Phases::new();
        let building = spawn_blocking({
            let phases = phases.clone();
            move || {
                while !phases.progress().is_stopped() {
                    std::thread::yield_now();
                }
                Err(StartError::Stopped)
            }
        });
        assert_eq!(wait(building, &phases, ready(TERM)).await.unwrap(), Built::Stopped { signal: TERM });
    }

    #[tokio::test]
    async fn a_signal_does_not_wait_for_what_does_not_look() {
        let (done, never) = mpsc::channel::<()>();
        let building = spawn_blocking(move || {
            let _ = never.recv();
            Ok(())
        });
        let built = wait(building, &Phases::new(), ready(TERM)).await.unwrap();
        assert_eq!(built, Built::Stopped { signal: TERM });
        drop(done);
    }

    #[tokio::test]
    async fn what_was_built_when_the_signal_came_is_drained() {
        let phases = Phases::new();
        let (go, wait_for_it) = mpsc::channel::<()>();
        let building = spawn_blocking(move || {
            let _ = wait_for_it.recv();
            Ok(())
        });
        let stop = async move {
            drop(go);
            TERM
        };
        assert_eq!(wait(building, &phases, stop).await.unwrap(), Built::ServingBut { signal: TERM });
    }
}
