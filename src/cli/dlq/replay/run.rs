//! One file after the other: letters → requests → what became of them.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3;

use super::client::{Answer, Client};
use super::journal::{Intent, Journal, Known, Sent};
use super::rows::Rows;
use super::tally::Tally;
use super::window::{Request, Window};
use super::{Log, ReplayArgs, ReplayError};
use crate::config::checked::Config;
use crate::config::limits::IDEMPOTENCY_SECONDS_DEFAULT;
use crate::delivery::dead_letters::{DeadFile, Filter, Letter, Patience, Visitor};
use crate::delivery::verify::Progress;
use crate::record::Content;
use crate::runtime::clock;

/// How it is done.
#[derive(Debug)]
pub struct Options {
    to: Option<String>,
    again: bool,
    attempts_max: u32,
    /// Records a second.
    rate: Option<u64>,
    /// Records in all.
    limit: Option<u64>,
}

impl Options {
    /// As the arguments say.
    pub fn of(args: &ReplayArgs) -> Self {
        let ReplayArgs { to, again, max_attempts, rate, limit, .. } = args;
        Self { to: to.clone(), again: *again, attempts_max: *max_attempts, rate: *rate, limit: *limit }
    }
}

/// A replay under way.
pub struct Replay<'a> {
    client: &'a Client,
    config: &'a Config,
    options: Options,
    runtime: &'a Handle,
    tally: Tally,
    /// Records that may still be sent.
    left: u64,
}

impl Log {
    fn known(&self) -> &Known {
        match self {
            Log::Real(journal) => &journal.known,
            Log::Dry(known) => known,
        }
    }
}

impl<'a> Replay<'a> {
    /// Nothing is sent yet.
    pub fn new(client: &'a Client, config: &'a Config, options: Options, runtime: &'a Handle) -> Self {
        let left = options.limit.unwrap_or(u64::MAX);
        Self { client, config, options, runtime, tally: Tally::default(), left }
    }

    /// Whether nothing more may be sent, and there is more.
    pub fn is_cut(&self) -> bool {
        self.tally.is_cut
    }

    /// What has become of everything.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Sends the letters of a file.
    pub fn file(
        &mut self,
        file: &DeadFile,
        visitor: &mut Visitor<'_>,
        log: &mut Log,
        progress: &dyn Progress,
    ) -> Result<(), ReplayError> {
        let name = format!("{}/{}/{}", file.stream, file.delivery, file.key);
        let to = self.options.to.clone().unwrap_or_else(|| file.stream.clone());
        let settled = self.settle_open(file, &name, log)?;
        let mut window = Window::new(self.content_of(&to));
        let mut failed = None;
        // What the filter passes over is looked at as well.
        let mut last = 0;
        let _ = visitor.visit(file, &mut |row, letter| {
            progress.passed((row + 1).saturating_sub(last));
            last = row + 1;
            let Some(attempt) = self.attempt_of(&letter, (&name, &to, row), log.known(), &settled) else {
                return Ok(ControlFlow::Continue(()));
            };
            if self.left == 0 {
                self.tally.is_cut = true;
                return Ok(ControlFlow::Break(()));
            }
            self.left -= 1;
            window.add(row, letter, attempt);
            if window.is_full()
                && let Err(error) = self.send_all(window.take(), (&name, &to), log)
            {
                failed = Some(error);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        progress.passed(file.records.unwrap_or(last).saturating_sub(last));
        match failed {
            Some(error) => Err(error),
            None => self.send_all(window.take(), (&name, &to), log),
        }
    }

    /// Which replay of a letter's record this would be; `None` if it is left out.
    fn attempt_of(
        &mut self,
        letter: &Letter,
        (name, to, row): (&str, &str, u64),
        known: &Known,
        settled: &Rows,
    ) -> Option<u32> {
        if settled.has(row) {
            // It was counted when that was found out.
            return None;
        }
        if !self.options.again && known.is_sent(name, to, row) {
            self.tally.known += 1;
            return None;
        }
        let Letter { stream, shard, number, .. } = letter;
        let before = known.attempts(stream, *shard, *number);
        if before >= self.options.attempts_max {
            self.tally.returned += 1;
            self.tally.name(format!(
                "{name}:{}: {} {number} was sent {before} times and came back as '{}'; --max-attempts {} sends it once more",
                row + 1, shard, letter.reason, before + 1
            ));
            return None;
        }
        Some(before + 1)
    }

    /// Finds out about requests whose answer an earlier run has not seen: they are sent again as they were, for as long
    /// as the node remembers them. Returns the lines that are settled by that, and those of which nothing can be said
    /// any more.
    fn settle_open(&mut self, file: &DeadFile, name: &str, log: &mut Log) -> Result<Rows, ReplayError> {
        let mut settled = Rows::default();
        for intent in log.known().open_of(name) {
            if self.options.again {
                // They are sent once more whatever has become of them.
                if let Log::Real(journal) = &mut *log {
                    journal.void(intent.id)?;
                }
                continue;
            }
            let age = u64::try_from(clock::wall().0.saturating_sub(intent.at.0)).unwrap_or_default();
            if Duration::from_micros(age) >= self.remembered(&intent.to) {
                self.tally.doubtful += intent.rows.len();
                self.tally.name(format!(
                    "{name}: {} letters may be in stream '{}' since an earlier run, whose answer nobody has seen; \
                     look for them there, and send them with --again if they are not",
                    intent.rows.len(),
                    intent.to
                ));
                settled.add(&intent.rows);
                continue;
            }
            let Log::Real(journal) = &mut *log else { continue };
            let Some(request) = self.gather(file, &intent)? else { continue };
            settled.add(&intent.rows);
            self.deliver(&request, intent, journal)?;
        }
        Ok(settled)
    }

    /// How long the node knows a request again.
    fn remembered(&self, stream: &str) -> Duration {
        let known = self.config.pipelines.iter().find(|pipeline| pipeline.stream.name == stream);
        let default = Duration::from_secs(IDEMPOTENCY_SECONDS_DEFAULT);
        known.map_or(default, |pipeline| pipeline.stream.idempotency_window)
    }

    /// What the records of a stream may be; of one that no file names, the usual.
    fn content_of(&self, stream: &str) -> Content {
        let known = self.config.pipelines.iter().find(|pipeline| pipeline.stream.name == stream);
        known.map_or(Content::Json, |pipeline| pipeline.ingest.content)
    }

    /// The request of an intent, as it was; `None` if the file has not all of its letters any more.
    fn gather(&self, file: &DeadFile, intent: &Intent) -> io::Result<Option<Request>> {
        let mut window = Window::new(self.content_of(&intent.to));
        let all = Filter::default();
        let patience = Patience::without_end(self.runtime);
        let _ = Visitor::new(&all, &patience).visit(file, &mut |row, letter| {
            if intent.rows.has(row) {
                window.add(row, letter, intent.attempt);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(window.take().into_iter().next().filter(|request| request.rows == intent.rows))
    }

    fn send_all(
        &mut self,
        requests: Vec<Request>,
        (name, to): (&str, &str),
        log: &mut Log,
    ) -> Result<(), ReplayError> {
        for request in requests {
            let Log::Real(journal) = &mut *log else {
                self.tally.sent += request.rows.len();
                self.tally.requests += 1;
                continue;
            };
            let id = journal.next_id();
            let intent = Intent {
                id,
                at: clock::wall(),
                file: name.to_owned(),
                rows: request.rows.clone(),
                to: to.to_owned(),
                attempt: request.attempt,
                idempotency_key: key_of((name, to), &request, self.options.again.then_some(id)),
            };
            journal.intend(intent.clone())?;
            self.deliver(&request, intent, journal)?;
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        request: &Request,
        intent: Intent,
        journal: &mut Journal,
    ) -> Result<(), ReplayError> {
        let Intent { id, to, idempotency_key, .. } = intent;
        crate::crash_point!("replay.send.before");
        let answer = self.runtime.block_on(self.client.send(&to, request, &idempotency_key));
        crate::crash_point!("replay.send.after");
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_void() {
                    journal.void(id)?;
                }
                return Err(error.into());
            }
        };
        self.tally.requests += 1;
        let records = request.rows.len();
        match answer {
            Answer::Taken { landed, refused } => {
                let rows: Vec<u64> = request.rows.iter().collect();
                let row_of = |(index, _): &(usize, String)| rows.get(*index).copied();
                let of_refused = Rows::of(refused.iter().filter_map(row_of));
                self.tally.sent += records.saturating_sub(of_refused.len());
                refused.iter().for_each(|(_, code)| self.tally.refuse(code, 1));
                journal.sent(Sent { id, landed, refused: of_refused })?;
            }
            Answer::Refused(refused) => {
                refused.iter().for_each(|(_, code)| self.tally.refuse(code, 1));
                journal.void(id)?;
            }
            Answer::RefusedWhole(code) => {
                self.tally.refuse(&code, records);
                journal.void(id)?;
            }
        }
        if let Some(rate) = self.options.rate {
            std::thread::sleep(Duration::from_secs_f64(records as f64 / rate as f64));
        }
        Ok(())
    }
}

/// The same for the same letters to the same stream, so that even a run that has lost its journal sends them once
/// within the node's window; but not where they are meant to be sent once more.
fn key_of((name, to): (&str, &str), request: &Request, again: Option<u64>) -> String {
    let mut hash = Xxh3::new();
    for text in [name, to] {
        hash.update(text.as_bytes());
        hash.update(&[0]);
    }
    request.rows.iter().for_each(|row| hash.update(&row.to_be_bytes()));
    hash.update(&request.attempt.to_be_bytes());
    let again = again.map(|id| format!("-{id}")).unwrap_or_default();
    format!("forebay-dlq-{:032x}{again}", hash.digest128())
}
