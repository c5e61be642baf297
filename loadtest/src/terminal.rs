//! Progress: a bar on a terminal, a line every few seconds in a pipe. Always on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use forebay_load::{run, verify};
use indicatif::{ProgressBar, ProgressStyle};

/// From one line to the next in a pipe.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Display {
    fn new(template: &str, length: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Display::Lines { last: clock::monotonic() };
        }
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Display::Bar(bar)
    }

    fn show(&mut self, position: u64, length: u64, message: impl FnOnce() -> String) {
        match self {
            Display::Bar(bar) => {
                bar.set_length(length);
                bar.set_position(position.min(length));
                bar.set_message(message());
            }
            Display::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = clock::monotonic();
                let _ = writeln!(io::stderr(), "{}", message());
            }
            Display::Lines { .. } => {}
        }
    }

    /// A line that stays, above the bar.
    fn say(&self, line: &str) {
        let say = || drop(writeln!(io::stderr(), "{line}"));
        match self {
            Display::Bar(bar) => bar.suspend(say),
            Display::Lines { .. } => say(),
        }
    }

    fn finish(&self) {
        if let Display::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

pub struct RunDisplay {
    display: Display,
    duration: Option<Duration>,
    records: Option<u64>,
    before: run::Progress,
}

impl RunDisplay {
    pub fn new(plan: &run::Plan) -> Self {
        Self {
            display: Display::new("{elapsed_precise} [{bar:30}] {percent:>3}% {msg}", 1_000),
            duration: plan.duration,
            records: plan.records,
            before: run::Progress::default(),
        }
    }

    pub fn show(&mut self, now: run::Progress) {
        let by_time = self.duration.map(|whole| now.elapsed.as_secs_f64() / whole.as_secs_f64().max(1e-9));
        let by_count = self.records.map(|whole| now.records as f64 / whole.max(1) as f64);
        let share = by_time.unwrap_or(0.0).max(by_count.unwrap_or(0.0));
        let before = &mut self.before;
        self.display.show((share * 1_000.0) as u64, 1_000, || {
            let seconds = now.elapsed.saturating_sub(before.elapsed).as_secs_f64().max(1e-3);
            let rate = (now.records - before.records) as f64 / seconds;
            let bytes_rate = (now.payload_bytes - before.payload_bytes) as f64 / seconds / 1e6;
            *before = now;
            let mut line = format!("{} records acked, {rate:.0}/s, {bytes_rate:.1} MB/s", now.records);
            if now.failed > 0 {
                line.push_str(&format!(", {} requests failed", now.failed));
            }
            if now.retries > 0 {
                line.push_str(&format!(", {} retries", now.retries));
            }
            line
        });
    }

    pub fn say(&self, line: &str) {
        self.display.say(line);
    }

    pub fn finish(&self) {
        self.display.finish();
    }
}

pub struct VerifyDisplay {
    display: Display,
    lakes: usize,
}

impl VerifyDisplay {
    pub fn new(lakes: usize) -> Self {
        Self { display: Display::new("{elapsed_precise} [{bar:30}] {percent:>3}% {msg}", 1), lakes }
    }

    pub fn show(&mut self, now: verify::Progress) {
        let lakes = self.lakes;
        self.display.show(now.bytes, now.bytes_total.max(1), || {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            format!(
                "lake {} of {lakes}: {} of {} objects, {:.1} of {:.1} MB",
                now.lake + 1,
                now.objects,
                now.objects_total,
                megabytes(now.bytes),
                megabytes(now.bytes_total)
            )
        });
    }

    pub fn finish(&self) {
        self.display.finish();
    }
}
