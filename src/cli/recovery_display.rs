//! What is seen while the log is read back: a bar on a terminal, a line of the log every few seconds elsewhere.

use std::convert::Infallible;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::runtime::progress::Progress;

/// From one look to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// From one line to the next.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows the progress for as long as it is polled. What is on the terminal goes when it is dropped.
pub async fn show(phases: &Phases) -> Infallible {
    let mut display = Display::new();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        if phases.current() == Phase::Recovering && phases.progress().total_bytes() > 0 {
            display.show(phases.progress());
        }
    }
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Display {
    fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Display::Lines { last: clock::monotonic() };
        }
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {msg}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        Display::Bar(bar)
    }

    fn show(&mut self, progress: &Progress) {
        match self {
            Display::Bar(bar) => {
                bar.set_length(progress.total_bytes());
                bar.set_position(progress.done_bytes());
                bar.set_message(progress.to_string());
            }
            Display::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = clock::monotonic();
                tracing::info!(
                    total_bytes = progress.total_bytes(),
                    done_bytes = progress.done_bytes(),
                    "recovering: {progress}"
                );
            }
            Display::Lines { .. } => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Display::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
