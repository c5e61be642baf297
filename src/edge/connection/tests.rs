//! What is held for a connection.

use super::*;
use crate::edge::desk::Clients;

/// Bytes of what `serve` returns.
fn task_bytes<F>(_: impl Fn(Arc<Edge>, Arrival, Clients, watch::Receiver<bool>) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_task_of_a_connection_is_small_because_there_are_many() {
    let bytes = task_bytes(serve::<Clients>);
    assert!(bytes <= 3 << 10, "{bytes} bytes");
}
