//! Work on the disk that is done one at a time and to the end, whether or not the client still waits.

use std::sync::Arc;

use crate::edge::problem::Problem;

/// Who waits for a turn.
pub(super) type Turn = Arc<tokio::sync::Mutex<()>>;

/// Waits for its turn and does `work` on `subject`: on another thread, where it writes to a disk.
///
/// # Errors
/// What `work` says.
pub(super) async fn run<S: Send + Sync + 'static, T: Send + 'static>(
    turn: &Turn,
    (subject, is_on_disk): (&Arc<S>, bool),
    work: impl FnOnce(&S) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let guard = Arc::clone(turn).lock_owned().await;
    if !is_on_disk {
        return work(subject);
    }
    let subject = Arc::clone(subject);
    let task = tokio::task::spawn_blocking(move || {
        let result = work(&subject);
        drop(guard);
        result
    });
    // Only a panic or the end of the runtime ends it without a result.
    task.await.unwrap_or(Err(Problem::Draining))
}
