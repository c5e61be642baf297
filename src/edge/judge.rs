//! The verdict on each record of a request: by its schema, its size and its key. However the records came (as JSON in
//! a body, or as entries of a request of another API), it is spoken here.

use std::cell::RefCell;

use super::Intake;
use super::learned_plan::LearnedPlan;
use super::mapping::{Added, Mapping, Place};
use super::problem::Problem;
use crate::config::MADE_NAME_PREFIX;
use crate::config::checked::OnInvalid;
use crate::config::limits::{PARTITION_KEY_BYTES_MAX, REPLY_ERRORS_MAX, REQUEST_RECORDS_MAX};
use crate::json::{Scanner, SyntaxError};
use crate::record::{Aggregate, Content, RecordSpans, Span, aggregate};
use crate::schema::validation::{Plan, Scratch, Verdict};
use crate::stream::HashKey;

/// A record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The stable code: `json`, `schema`, `reserved_field`, `record_too_large` or `partition_key_too_long`.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// What a request holds.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Accepted records, in order.
    pub records: Vec<RecordSpans>,
    /// Their captured fields: `records.len() × slots`.
    pub captures: Vec<Span>,
    /// What is known of their payloads.
    pub content: Content,
    /// Those of the records that came together.
    pub aggregates: Vec<Aggregate>,
    /// Hashes that stand in for those of the keys, with the index of their record; ascending. One of an aggregate is at
    /// its first record.
    pub hash_keys: Vec<(usize, HashKey)>,
    /// See [`crate::record::Source::side`].
    pub side: Vec<u8>,
    /// Where facts of the request go, a record of `records` each; empty where none are added.
    pub places: Vec<Place>,
    /// The first refused records, at most [`REPLY_ERRORS_MAX`].
    pub refused: Vec<Refused>,
    /// How many were refused in all.
    pub rejected: usize,
    /// How many of the accepted ones are invalid and bound for the dead letters.
    pub dead: usize,
}

/// A record that came as bytes of its own.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The record, in the body.
    pub payload: Span,
    /// Its partition key, in the body; absent where the request has none for it: then the stream's own setting tells.
    pub key: Span,
    /// The hash that decides over its shard instead of the key's.
    pub hash_key: Option<HashKey>,
}

thread_local! {
    /// One a thread: its buffers are reused from request to request.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Judges records that are slices of `body`: the entries of a request, in its order.
///
/// # Errors
/// If there are too many of them, or none.
pub fn records(
    intake: &Intake,
    body: &[u8],
    entries: impl IntoIterator<Item = Entry>,
) -> Result<Decoded, Problem> {
    judged((intake, None), body, |judge| {
        judge.content(intake.ingest.content);
        entries.into_iter().try_for_each(|entry| judge.entry(entry))
    })
}

/// What `find` finds in `body` and has judged, where the records are to have `added`.
pub(super) fn judged(
    (intake, added): (&Intake, Option<&Added>),
    body: &[u8],
    find: impl FnOnce(&mut Judge<'_>) -> Result<(), Problem>,
) -> Result<Decoded, Problem> {
    let learned = intake.learned_plan.as_ref().map(LearnedPlan::current);
    let plan = learned.as_deref().unwrap_or(&intake.plan);
    SCRATCH.with_borrow_mut(|scratch| {
        let (shared_key, out) = (Span::ABSENT, Decoded::default());
        let mapping = intake.mapping.as_ref().zip(added);
        let (index, members) = (0, Vec::new());
        let mut judge = Judge {
            intake,
            plan,
            mapping,
            body,
            scratch,
            shared_key,
            added_key: shared_key,
            index,
            members,
            out,
        };
        judge.added_key = judge.find_added_key();
        find(&mut judge)?;
        if judge.index == 0 { Err(Problem::Empty) } else { Ok(judge.out) }
    })
}

/// Judges one record after the other.
pub(super) struct Judge<'a> {
    intake: &'a Intake,
    plan: &'a Plan,
    /// What is added to records, and its text.
    mapping: Option<(&'a Mapping, &'a Added)>,
    body: &'a [u8],
    scratch: &'a mut Scratch,
    /// The key of all records, where the request gives one.
    pub(super) shared_key: Span,
    /// The key of all records that are given what is added, where it lies in that.
    added_key: Span,
    /// Records met so far.
    index: usize,
    /// Those of the aggregate at hand.
    members: Vec<RecordSpans>,
    out: Decoded,
}

impl Judge<'_> {
    /// What the payloads of the records that follow are to be.
    pub(super) fn content(&mut self, content: Content) {
        self.out.content = content;
    }

    /// Takes or refuses a record that came as bytes.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<(), Problem> {
        let Entry { payload, key, hash_key } = entry;
        self.shared_key = key;
        let accepted = self.out.records.len();
        if !self.aggregate(payload)? {
            self.bytes(payload)?;
        }
        if let Some(hash) = hash_key
            && self.out.records.len() > accepted
        {
            self.out.hash_keys.push((accepted, hash));
        }
        Ok(())
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.body.get(span.start()..span.start() + span.len()).unwrap_or_default()
    }

    fn is_too_large(&self, payload: Span) -> bool {
        payload.len() as u64 > self.intake.ingest.record_bytes_max
    }

    fn bytes(&mut self, payload: Span) -> Result<(), Problem> {
        let start = payload.start();
        if self.is_too_large(payload) {
            return self.judge_at(start, Verdict::Fits, payload);
        }
        match self.look(payload) {
            Ok(()) => self.judge_at(start, Verdict::Fits, payload),
            Err((code, message)) => self.invalid(payload, code, &message),
        }
    }

    /// What is to be said against a payload: code and message. Otherwise its fields are in the scratch, counted from
    /// its start.
    fn look(&mut self, payload: Span) -> Result<(), (&'static str, String)> {
        let bytes = self.body.get(payload.start()..payload.start() + payload.len()).unwrap_or_default();
        if self.out.content == Content::Any {
            if self.intake.slots > 0 || self.intake.key_slot.is_some() {
                self.intake.plan.find(bytes, self.scratch);
            }
            return Ok(());
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ("json", format!("invalid UTF-8 at byte {}", error.valid_up_to())))?;
        let mut scanner = Scanner::new(text);
        match self.check(&mut scanner).and_then(|verdict| scanner.end().map(|()| verdict)) {
            Ok(Verdict::Fits) => Ok(()),
            Ok(Verdict::Breaks) => Err(("schema", self.violation())),
            Err(error) => Err(("json", error.to_string())),
        }
    }

    /// Takes or refuses the records of an aggregate: all of them, or none. False if it is no aggregate that can be taken
    /// apart.
    fn aggregate(&mut self, blob: Span) -> Result<bool, Problem> {
        let has_long_key = self.shared_key.is_present() && self.shared_key.len() > PARTITION_KEY_BYTES_MAX;
        if !self.slice(blob).starts_with(&aggregate::MAGIC) || self.is_too_large(blob) || has_long_key {
            return Ok(false);
        }
        // What clients put into a delivery stream is stored as it came: the service takes apart what comes from a stream.
        if self.intake.stream.name().starts_with(MADE_NAME_PREFIX) {
            return Ok(false);
        }
        let mut members = std::mem::take(&mut self.members);
        members.clear();
        let count = aggregate::split(self.body, blob, REQUEST_RECORDS_MAX, &mut members);
        let taken = count.map(|_| self.members(blob, &members)).transpose();
        self.members = members;
        Ok(taken?.is_some())
    }

    fn members(&mut self, blob: Span, members: &[RecordSpans]) -> Result<(), Problem> {
        let first = self.out.records.len();
        if first + members.len() > REQUEST_RECORDS_MAX {
            return Err(Problem::TooManyRecords { limit: REQUEST_RECORDS_MAX });
        }
        for (index, member) in members.iter().enumerate() {
            let refusal = match self.look(member.payload) {
                Ok(()) => {
                    self.capture(member.payload.start());
                    Span::ABSENT
                }
                Err((code, message)) if self.dead_letters() => {
                    self.out.captures.extend(std::iter::repeat_n(Span::ABSENT, self.intake.slots));
                    self.out.dead += 1;
                    self.remember(format!("{code} {message}").as_bytes())
                }
                Err((code, message)) => {
                    // Nothing was remembered of those before: none of them was invalid.
                    self.out.records.truncate(first);
                    self.out.captures.truncate(first * self.intake.slots);
                    return self.refuse(code, format!("record {index} of the aggregate: {message}"));
                }
            };
            self.out.records.push(RecordSpans { refusal, ..*member });
        }
        self.count()?;
        // Both are below `REQUEST_RECORDS_MAX`.
        let (first, count, key) = (first as u32, members.len() as u32, self.shared_key);
        self.out.aggregates.push(Aggregate { first, count, blob, key });
        Ok(())
    }

    pub(super) fn dead_letters(&self) -> bool {
        self.intake.ingest.on_invalid == OnInvalid::DeadLetter
    }

    pub(super) fn check(&mut self, scanner: &mut Scanner<'_>) -> Result<Verdict, SyntaxError> {
        self.plan.check(scanner, self.scratch)
    }

    /// Takes or refuses a record whose syntax is right. It was read in the body.
    pub(super) fn judge(&mut self, verdict: Verdict, payload: Span) -> Result<(), Problem> {
        self.judge_at(0, verdict, payload)
    }

    /// The same for one that was read in a part of the body that begins at `offset`.
    fn judge_at(&mut self, offset: usize, verdict: Verdict, payload: Span) -> Result<(), Problem> {
        if self.is_too_large(payload) {
            let limit = self.intake.ingest.record_bytes_max;
            return self
                .refuse("record_too_large", format!("{} bytes, at most {limit} are taken", payload.len()));
        }
        match verdict {
            Verdict::Fits => match self.place() {
                Some(place) => self.accept((offset, place), payload),
                None => {
                    let message = self.mapping.map(|(mapping, _)| mapping.refusal()).unwrap_or_default();
                    self.invalid(payload, "reserved_field", &message)
                }
            },
            Verdict::Breaks => {
                let message = self.violation();
                self.invalid(payload, "schema", &message)
            }
        }
    }

    fn accept(&mut self, (offset, place): (usize, Place), payload: Span) -> Result<(), Problem> {
        if let Some(message) = self.outgrows(payload, place) {
            return self.refuse("record_too_large", message);
        }
        self.count()?;
        let is_added = |slot| self.mapping.is_some_and(|(mapping, _)| mapping.has(slot));
        let key = match self.intake.key_slot {
            _ if self.shared_key.is_present() => self.shared_key,
            Some(slot) if place != Place::Nowhere && is_added(slot) => self.added_key,
            Some(slot) => {
                let captured = self.scratch.captures().get(slot).copied().unwrap_or(Span::ABSENT);
                self.key_of(captured.behind(offset))
            }
            None => Span::ABSENT,
        };
        if key.is_present() && key.len() > PARTITION_KEY_BYTES_MAX {
            self.index -= 1;
            let message = format!("{} bytes, at most {PARTITION_KEY_BYTES_MAX} are taken", key.len());
            return self.refuse("partition_key_too_long", message);
        }
        self.out.records.push(RecordSpans { payload, key, refusal: Span::ABSENT });
        self.goes_to(place);
        self.capture(offset);
        Ok(())
    }

    /// Keeps the fields in the scratch, which count from `offset`.
    fn capture(&mut self, offset: usize) {
        let captures = self.scratch.captures().get(..self.intake.slots).unwrap_or_default();
        if offset == 0 {
            self.out.captures.extend_from_slice(captures);
        } else {
            self.out.captures.extend(captures.iter().map(|span| span.behind(offset)));
        }
    }

    fn violation(&self) -> String {
        self.scratch.violation().map(ToString::to_string).unwrap_or_default()
    }

    /// The key that a captured value stands for: a string without its quotes, a number or boolean as written. A
    /// record without one is spread at random.
    fn key_of(&mut self, value: Span) -> Span {
        let Some(raw) =
            self.body.get(value.start()..value.start() + value.len()).filter(|_| value.is_present())
        else {
            return Span::ABSENT;
        };
        match raw {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Span::new(value.start() + 1, value.start() + 1 + inner.len())
            }
            [b'"', ..] => {
                let text = std::str::from_utf8(raw).ok().and_then(|text| Scanner::new(text).string().ok());
                text.map_or(Span::ABSENT, |text| self.remember(text.decode().as_bytes()))
            }
            [b'{' | b'[' | b'n', ..] | [] => Span::ABSENT,
            _ => value,
        }
    }

    /// A record that is no JSON or breaks its schema: refused, or accepted for the dead letters.
    pub(super) fn invalid(
        &mut self,
        payload: Span,
        code: &'static str,
        message: &str,
    ) -> Result<(), Problem> {
        if !self.dead_letters() || self.is_too_large(payload) {
            return self.refuse(code, message.to_owned());
        }
        self.count()?;
        let reason = format!("{code} {message}");
        let refusal = self.remember(reason.as_bytes());
        self.out.records.push(RecordSpans { payload, key: self.shared_key, refusal });
        self.goes_to(Place::Nowhere);
        self.out.captures.extend(std::iter::repeat_n(Span::ABSENT, self.intake.slots));
        self.out.dead += 1;
        Ok(())
    }

    fn refuse(&mut self, code: &'static str, message: String) -> Result<(), Problem> {
        if self.out.refused.len() < REPLY_ERRORS_MAX {
            self.out.refused.push(Refused { index: self.index, code, message });
        }
        self.out.rejected += 1;
        self.count()
    }

    fn count(&mut self) -> Result<(), Problem> {
        if self.index == REQUEST_RECORDS_MAX {
            return Err(Problem::TooManyRecords { limit: REQUEST_RECORDS_MAX });
        }
        self.index += 1;
        Ok(())
    }

    /// Puts bytes into the side buffer. Its spans lie behind those of the body.
    pub(super) fn remember(&mut self, bytes: &[u8]) -> Span {
        let start = self.body.len() + self.out.side.len();
        self.out.side.extend_from_slice(bytes);
        Span::new(start, start + bytes.len())
    }
}

mod added;
#[cfg(test)]
mod tests;
