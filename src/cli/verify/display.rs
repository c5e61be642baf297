//! How far it is: a bar on a terminal, lines elsewhere.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::delivery::verify::Progress;
use crate::runtime::clock;

/// From one line to the next.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
pub struct Display<'a> {
    bar: Option<ProgressBar>,
    lines: RefCell<Lines<'a>>,
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    of: String,
    what: String,
    done: u64,
    total: u64,
    last: Instant,
}

impl<'a> Display<'a> {
    /// For a terminal if standard error is one; otherwise lines go to `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {percent} % {msg}")
            {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        let (of, what) = (String::new(), String::new());
        let lines = Lines { out, of, what, done: 0, total: 0, last: clock::monotonic() };
        Self { bar, lines: RefCell::new(lines) }
    }

    /// What comes is about a delivery.
    pub fn of(&self, stream: &str, delivery: &str) {
        self.lines.borrow_mut().of = format!("{stream}/{delivery}: ");
    }

    /// Takes everything off the terminal.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Display<'_> {
    fn begin(&self, what: &str, total: u64) {
        let mut lines = self.lines.borrow_mut();
        lines.what = format!("{}{what}", lines.of);
        (lines.done, lines.total) = (0, total);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(0);
            bar.set_message(lines.what.clone());
        }
    }

    fn passed(&self, steps: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(steps);
            return;
        }
        let mut lines = self.lines.borrow_mut();
        lines.done += steps;
        if lines.last.elapsed() >= LINE_INTERVAL {
            lines.last = clock::monotonic();
            let Lines { out, what, done, total, .. } = &mut *lines;
            // Who has closed the other end does not want to know.
            let _ = writeln!(out, "{what}: {done} of {total}");
        }
    }
}
