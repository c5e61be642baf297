//! What is held for a connection.

use std::task::{Context, Waker};

use super::progress::Answering;
use super::*;
use crate::config::checked::Server;
use crate::edge::desk::Clients;
use crate::tap::page::tests::edge;

/// Bytes of what `serve` returns.
fn task_bytes<F>(_: impl Fn(Arc<Edge>, Arrival, Clients, watch::Receiver<bool>) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_task_of_a_connection_is_small_because_there_are_many() {
    let bytes = task_bytes(serve::<Clients>);
    assert!(bytes <= 3 << 10, "{bytes} bytes");
}

#[tokio::test]
async fn who_has_ended_his_side_does_not_keep_his_place_while_nothing_answers() {
    let short = Duration::from_millis(20);
    let server = Server { idle_timeout: short, header_timeout: short, ..edge(1, 1 << 20).server };
    let progress = Arc::new(Progress::new());
    let answering = Answering::new(&progress, true);
    let is_late = tokio::time::timeout(10 * short, progress.late(&server)).await;
    assert!(is_late.is_err(), "somebody who waits for his answer");

    assert!(progress.defers_end(false, &Context::from_waker(Waker::noop())));
    assert_eq!(progress.late(&server).await, Late::NextRequest);
    drop(answering);
    assert!(progress.defers_end(true, &Context::from_waker(Waker::noop())), "the answer is on its way");
    assert!(!progress.defers_end(false, &Context::from_waker(Waker::noop())));
}
