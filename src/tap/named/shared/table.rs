//! What one node knows of a cursor, and how it changes it together with others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::sheet::{self, Content, FORMAT, Sheet};
use super::shelf::{Created, SheetError, Shelf};
use crate::config::limits::{CURSOR_LOOK_MAX, CURSOR_LOOK_MIN, CURSOR_SHEETS_KEPT, CURSOR_TRIES_MAX};
use crate::edge::problem::Problem;
use crate::stream::ShardFacts;
use crate::tap::named::leases::Leases;

/// See the module.
#[derive(Debug)]
pub struct Table {
    name: Arc<str>,
    shelf: Shelf,
    /// One change of this node at a time.
    turn: tokio::sync::Mutex<()>,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    number: u64,
    content: Content,
    leases: Leases,
    /// When this node has written the beat that a worker has. Of one that another node has written nobody here knows how
    /// old it is.
    beats: BTreeMap<String, Instant>,
    /// When this was known to be the newest; `None` while that is in doubt.
    looked: Option<Instant>,
}

impl Known {
    /// What was found in the place of `before`.
    fn found(
        sheet: Sheet,
        before: Option<&Self>,
        facts: &[ShardFacts],
        (looked, now): (Instant, Instant),
    ) -> Self {
        let Sheet { number, content, .. } = sheet;
        let leases = content.leases(before.map(|known| (&known.content, &known.leases)), facts, now);
        let is_ours = |worker: &str| {
            let before =
                before.filter(|known| known.content.workers.get(worker) == content.workers.get(worker));
            Some((worker.to_owned(), *before?.beats.get(worker)?))
        };
        let beats = content.workers.keys().filter_map(|worker| is_ours(worker)).collect();
        Self { number, content, leases, beats, looked: Some(looked) }
    }

    /// What was written behind it.
    fn write(&mut self, sheet: Sheet, leases: Leases, written: Instant) {
        let Sheet { number, content, .. } = sheet;
        self.beats.retain(|worker, _| content.workers.contains_key(worker));
        for (worker, _) in content.workers.iter().filter(|(_, beat)| **beat == number) {
            self.beats.insert(worker.clone(), written);
        }
        (self.number, self.content, self.leases, self.looked) = (number, content, leases, Some(written));
    }
}

/// A change that is made.
#[derive(Debug)]
pub struct Draft {
    /// Who has what.
    pub leases: Leases,
    /// What was written last.
    pub content: Content,
    /// The number of that.
    pub number: u64,
    /// The moment.
    pub now: Instant,
    /// Who gives a sign of life, and when that was written last.
    lives: Option<(Arc<str>, Option<Instant>)>,
    leaves: Option<Arc<str>>,
    is_gone: bool,
    beats: BTreeMap<String, Instant>,
}

impl Draft {
    /// A worker gives a sign of life, which is to be written now and then.
    pub fn lives(&mut self, worker: &Arc<str>) {
        self.lives = Some((Arc::clone(worker), self.beats.get(&**worker).copied()));
    }

    /// A worker leaves.
    pub fn leaves(&mut self, worker: &str) {
        self.leaves = Some(worker.into());
    }

    /// The cursor is deleted.
    pub fn is_gone(&mut self) {
        self.is_gone = true;
    }

    /// What is to be written; `None` where that is what is there.
    fn next(&self) -> Option<Content> {
        let number = self.number + 1;
        let mut next = self.content.followed_by(&self.leases, number);
        if let Some(worker) = &self.leaves {
            next.has_left(worker, number);
        }
        next.is_gone = self.is_gone;
        let lives = self.lives.as_ref().filter(|(worker, _)| self.leases.workers.contains_key(worker));
        let is_old =
            |last: Instant| self.now.saturating_duration_since(last) >= sheet::grace(self.leases.length);
        let is_due = lives.is_some_and(|(_, last)| last.is_none_or(is_old));
        if next == self.content && !is_due {
            return None;
        }
        if let Some(beat) = lives.and_then(|(worker, _)| next.workers.get_mut(&**worker)) {
            *beat = number;
        }
        Some(next)
    }
}

/// What a change has come to.
#[derive(Debug)]
pub struct Changed<T> {
    /// What it says.
    pub value: T,
    /// Who has what now.
    pub leases: Leases,
    /// The number of what that is written in.
    pub number: u64,
    /// Whether others have changed something that this node did not know before.
    pub is_news: bool,
}

/// How sure a change has to be of what it rests on where it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// What was known a moment ago will do.
    Lately,
    /// What is there now.
    Now,
}

/// A stream's shards, and the time, as a table asks for them.
pub trait Surroundings {
    /// The shards.
    fn facts(&self) -> Vec<ShardFacts>;
    /// The time.
    fn now(&self) -> Instant;
}

impl Table {
    /// Nothing is known of it.
    pub fn new(name: &str, shelf: Shelf) -> Self {
        Self { name: name.into(), shelf, turn: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    /// The cursor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        // Nothing panics while it is changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of what it knows.
    pub fn number(&self) -> Option<u64> {
        self.known().as_ref().map(|known| known.number)
    }

    /// Whether it is that of the sheets there.
    pub fn is_on(&self, shelf: &Shelf) -> bool {
        self.shelf == *shelf
    }

    /// When it has looked last.
    pub fn looked(&self) -> Option<Instant> {
        self.known().as_ref().and_then(|known| known.looked)
    }

    fn is_old(&self, now: Instant) -> bool {
        let known = self.known();
        let Some(known) = known.as_ref() else { return true };
        let every = Self::look_every(known.leases.length);
        known.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= every)
    }

    /// How often it looks what others do.
    pub fn look_every(lease: Duration) -> Duration {
        (lease / 4).clamp(CURSOR_LOOK_MIN, CURSOR_LOOK_MAX)
    }

    /// Looks what there is. Returns whether it was not known.
    async fn look(&self, around: &impl Surroundings) -> Result<bool, SheetError> {
        let after = self.number();
        // The time before: what is found is no older.
        let now = around.now();
        let found = self.shelf.newest(after).await?;
        let mut known = self.known();
        let is_news = found.is_some();
        if let Some(sheet) = found {
            let found = Known::found(sheet, known.as_ref(), &around.facts(), (now, around.now()));
            *known = Some(found);
        } else if let Some(known) = known.as_mut() {
            known.looked = Some(now);
        }
        Ok(is_news)
    }

    /// Looks what there is, whenever it has looked before. Returns whether there is a cursor.
    ///
    /// # Errors
    /// If the store does not tell.
    pub async fn find(&self, around: &impl Surroundings) -> Result<bool, Problem> {
        let _turn = self.turn.lock().await;
        self.look(around).await?;
        Ok(self.known().as_ref().is_some_and(|known| !known.content.is_gone))
    }

    /// What it knows.
    pub fn leases(&self) -> Option<Leases> {
        self.known().as_ref().filter(|known| !known.content.is_gone).map(|known| known.leases.clone())
    }

    fn unknown(&self) -> Problem {
        Problem::UnknownCursor(self.name.to_string())
    }

    /// What a change begins with.
    fn draft(&self, around: &impl Surroundings) -> Result<Draft, Problem> {
        let (now, facts) = (around.now(), around.facts());
        let mut known = self.known();
        let known = known.as_mut().filter(|known| !known.content.is_gone).ok_or_else(|| self.unknown())?;
        if !known.leases.shards.values().map(|shard| &shard.facts).eq(&facts) {
            known.leases = known.content.leases(Some((&known.content, &known.leases)), &facts, now);
        }
        let (leases, content) = (known.leases.clone(), known.content.clone());
        let (lives, leaves, beats) = (None, None, known.beats.clone());
        Ok(Draft { leases, content, number: known.number, now, lives, leaves, is_gone: false, beats })
    }

    /// Changes the cursor by `change`, which is asked as often as others have been faster, and is to come to the same for
    /// what it has come to already.
    ///
    /// # Errors
    /// What `change` says of what is there now; if there is no such cursor; and if the store does not take it: then it is
    /// not known whether it was changed.
    pub async fn change<T>(
        &self,
        around: &impl Surroundings,
        certainty: Certainty,
        mut change: impl FnMut(&mut Draft) -> Result<T, Problem>,
    ) -> Result<Changed<T>, Problem> {
        let _turn = self.turn.lock().await;
        let (mut is_news, mut is_fresh) = (false, false);
        for _ in 0..CURSOR_TRIES_MAX {
            if !is_fresh && self.is_old(around.now()) {
                is_news |= self.look(around).await?;
                is_fresh = true;
            }
            let mut draft = self.draft(around)?;
            let value = match change(&mut draft) {
                Ok(value) => value,
                Err(problem) if is_fresh => return Err(problem),
                Err(_) => {
                    is_news |= self.look(around).await?;
                    is_fresh = true;
                    continue;
                }
            };
            let Some(content) = draft.next() else {
                if certainty == Certainty::Now && !is_fresh {
                    is_news |= self.look(around).await?;
                    is_fresh = true;
                    continue;
                }
                let (leases, number) = (draft.leases, draft.number);
                self.learn(|known| known.leases.clone_from(&leases));
                return Ok(Changed { value, leases, number, is_news });
            };
            let number = draft.number + 1;
            let sheet = self.sheet(number, content);
            // Should this be given up or fail, what is there has to be looked for.
            self.learn(|known| known.looked = None);
            if self.shelf.create(&sheet).await? == Created::Now {
                let leases = draft.leases;
                self.learn(|known| known.write(sheet, leases.clone(), draft.now));
                self.tidy(number).await;
                return Ok(Changed { value, leases, number, is_news });
            }
            is_fresh = false;
        }
        Err(SheetError::Busy { key: self.name.to_string() }.into())
    }

    fn sheet(&self, number: u64, content: Content) -> Sheet {
        Sheet { format: FORMAT, number, writer: fastrand::u64(..), cursor: self.name.to_string(), content }
    }

    /// Makes the cursor, unless there is one. Returns whether it was made.
    ///
    /// # Errors
    /// If the store does not take it: then it is not known whether it was made.
    pub async fn begin(&self, around: &impl Surroundings, leases: &Leases) -> Result<bool, Problem> {
        let _turn = self.turn.lock().await;
        for _ in 0..CURSOR_TRIES_MAX {
            self.look(around).await?;
            let (number, left) = match self.known().as_ref() {
                None => (0, Vec::new()),
                // Whoever was a worker of an earlier one has left.
                Some(known) if known.content.is_gone => (known.number, known.content.left.clone()),
                Some(_) => return Ok(false),
            };
            let number = number + 1;
            let content = Content { left, ..Content::default() }.followed_by(leases, number);
            let sheet = self.sheet(number, content);
            if self.shelf.create(&sheet).await? == Created::Now {
                let now = around.now();
                *self.known() = Some(Known::found(sheet, None, &around.facts(), (now, now)));
                return Ok(true);
            }
        }
        Err(SheetError::Busy { key: self.name.to_string() }.into())
    }

    /// Removes old sheets now and then. What stays goes the next time.
    async fn tidy(&self, number: u64) {
        if !number.is_multiple_of(CURSOR_SHEETS_KEPT) {
            return;
        }
        if let Err(error) = self.shelf.tidy(number).await {
            tracing::debug!(cursor = %self.name, %error, "old sheets of a named cursor stay for now");
        }
    }

    fn learn(&self, learn: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known().as_mut() {
            learn(known);
        }
    }
}
