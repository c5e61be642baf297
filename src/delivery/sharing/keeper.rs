//! The work on one partition for as long as it is this node's: workers on its shards, one after the other.

use std::sync::Arc;

use tokio::sync::watch;

use super::labour::Deposed;
use super::opening::{NotOpen, Opened};
use super::{QUIET, Sharing, State};
use crate::config::limits::OWNERSHIP_DEPOSED_WAIT;
use crate::delivery::Stop;
use crate::record::ShardId;
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};

/// Works on the shards of `partition` until it is `gone`.
pub(super) async fn keep(sharing: &Sharing, partition: ShardId, mut gone: watch::Receiver<bool>) {
    let mut backoff = Backoff::default();
    loop {
        let begun = clock::monotonic();
        sharing.set_state(partition, State::Opening);
        let trouble = tokio::select! {
            biased;
            () = is_gone(&mut gone) => return,
            opened = open(sharing, partition) => match opened {
                Ok((shard, opened)) => match work(sharing, (partition, shard), opened, &mut gone).await {
                    Some(trouble) => trouble,
                    // The next one of the partition follows.
                    None => continue,
                },
                Err(error) => Trouble::NotOpen(error),
            },
        };
        if *gone.borrow() {
            return;
        }
        if begun.elapsed() > QUIET {
            backoff = Backoff::default();
        }
        let is_news = backoff.is_news();
        let mut pause = backoff.next_pause();
        tell(sharing, partition, &trouble, is_news);
        if matches!(trouble, Trouble::Deposed(_)) {
            pause = OWNERSHIP_DEPOSED_WAIT;
        }
        sharing.set_state(partition, State::Waiting { why: trouble.to_string() });
        tokio::select! {
            () = is_gone(&mut gone) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn open(sharing: &Sharing, partition: ShardId) -> Result<(ShardId, Opened), NotOpen> {
    let shard = sharing.turn(partition).await?;
    Ok((shard, sharing.template.open(shard).await?))
}

/// Returns once the partition is another node's.
async fn is_gone(gone: &mut watch::Receiver<bool>) {
    // Whoever would tell has ended, and wants nothing any more either.
    let _ = gone.wait_for(|gone| *gone).await;
}

/// Why a worker has not begun, or has ended.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the work cannot begin: {0}")]
    NotOpen(NotOpen),
    #[error("{0}")]
    Deposed(Deposed),
    #[error("the worker has failed within the program: {0}")]
    Panicked(tokio::task::JoinError),
    #[error("the worker has ended by itself")]
    Ended,
}

fn tell(sharing: &Sharing, partition: ShardId, trouble: &Trouble, is_news: bool) {
    let (stream, delivery, partition) = (sharing.stream_name(), sharing.name(), partition.0);
    match trouble {
        Trouble::Deposed(by) => {
            sharing.metrics.deposed.increment(1);
            tracing::warn!(
                %stream, delivery, partition, %by,
                "another node has taken over a shard that this one believed to have: it writes nothing more of it, and \
                 tries again while the consumer group says that the shard is its own"
            );
        }
        _ => {
            sharing.metrics.failed.increment(1);
            if is_news {
                tracing::error!(
                    %stream, delivery, partition, error = %trouble,
                    "a shard is not delivered at the moment: trying again, nothing is dropped"
                );
            }
        }
    }
}

/// Runs a worker to its end. Returns why that is, unless everything of the shard is delivered, and no more will come.
async fn work(
    sharing: &Sharing,
    (partition, shard): (ShardId, ShardId),
    opened: Opened,
    gone: &mut watch::Receiver<bool>,
) -> Option<Trouble> {
    let Opened { labour, status, gauges } = opened;
    sharing.metrics.taken.increment(1);
    let state = State::Working { shard, status: Arc::clone(&status), gauges: Arc::new(gauges) };
    sharing.set_state(partition, state);
    // It is not for a worker to see the drain, which reads to the end: the shard is given back before.
    let (phases, stop) = (Phases::new(), Stop::new());
    phases.advance(Phase::Serving);
    let told = stop.clone();
    let mut running = tokio::spawn(async move { labour.run(phases, told).await });
    let mut is_finished = false;
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = sharing.finished(shard, &status) => {
            is_finished = true;
            stop.tell();
            running.await
        }
        () = is_gone(gone) => {
            stop.tell();
            running.await
        }
    };
    sharing.retire((partition, shard), &status);
    match ended {
        Ok(_) if is_finished => None,
        Ok(Some(by)) => Some(Trouble::Deposed(by)),
        Ok(None) => Some(Trouble::Ended),
        Err(error) => Some(Trouble::Panicked(error)),
    }
}
