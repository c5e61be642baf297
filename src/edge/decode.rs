//! A decoded body → the spans of its records, each with its verdict.

use std::cell::RefCell;

use http::{HeaderMap, header};

use super::Intake;
use super::body::shown;
use super::learned_plan::LearnedPlan;
use super::problem::Problem;
use crate::config::checked::OnInvalid;
use crate::config::limits::{PARTITION_KEY_BYTES_MAX, REPLY_ERRORS_MAX, REQUEST_RECORDS_MAX};
use crate::json::{Scanner, SyntaxError};
use crate::record::{RecordSpans, Span};
use crate::schema::validation::{Plan, Scratch, Verdict};

/// How records stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value: an object, or an array of them.
    Json,
    /// A JSON value a line; empty lines are nothing.
    Lines,
    /// Not told by the client: an array, one value on any number of lines, or a value a line.
    Detect,
}

impl Framing {
    /// Reads `Content-Type`.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Framing::Detect) };
        let text = value.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Framing::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines"
            | "application/json-lines" => Ok(Framing::Lines),
            "text/plain" => Ok(Framing::Detect),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Framing::Json),
            _ => Err(Problem::UnsupportedMediaType(shown(value))),
        }
    }
}

/// A record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The stable code: `json`, `schema`, `record_too_large` or `partition_key_too_long`.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// What a body holds.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Accepted records, in order.
    pub records: Vec<RecordSpans>,
    /// Their captured fields: `records.len() × slots`.
    pub captures: Vec<Span>,
    /// See [`crate::record::Source::side`].
    pub side: Vec<u8>,
    /// The first refused records, at most [`REPLY_ERRORS_MAX`].
    pub refused: Vec<Refused>,
    /// How many were refused in all.
    pub rejected: usize,
    /// How many of the accepted ones are invalid and bound for the dead letters.
    pub dead: usize,
}

/// The partition key that a request gives to all its records.
#[derive(Debug, Clone, Copy)]
pub enum RequestKey<'a> {
    /// From a header or the query.
    Given(&'a [u8]),
    /// Each record has its own.
    FromRecord,
}

thread_local! {
    /// One a thread: its buffers are reused from request to request.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Finds and judges the records of `body`.
pub fn decode(
    intake: &Intake,
    framing: Framing,
    body: &[u8],
    key: RequestKey<'_>,
) -> Result<Decoded, Problem> {
    let learned = intake.learned_plan.as_ref().map(LearnedPlan::current);
    let plan = learned.as_deref().unwrap_or(&intake.plan);
    SCRATCH.with_borrow_mut(|scratch| {
        let (shared_key, out) = (Span::ABSENT, Decoded::default());
        let mut decoder = Decoder { intake, plan, body, scratch, shared_key, base: 0, index: 0, out };
        if let RequestKey::Given(key) = key {
            decoder.shared_key = decoder.remember(key);
        }
        match std::str::from_utf8(body) {
            Ok(text) => decoder.text(framing, text)?,
            Err(_) if framing == Framing::Lines => decoder.damaged_lines()?,
            Err(error) => {
                return Err(Problem::NotJson(format!("invalid UTF-8 at byte {}", error.valid_up_to())));
            }
        }
        if decoder.index == 0 { Err(Problem::Empty) } else { Ok(decoder.out) }
    })
}

/// Judges records whose places in `body` are known, each with the key that the request gives it.
pub fn judge(intake: &Intake, body: &[u8], records: &[(Span, Span)]) -> Result<Decoded, Problem> {
    let learned = intake.learned_plan.as_ref().map(LearnedPlan::current);
    let plan = learned.as_deref().unwrap_or(&intake.plan);
    SCRATCH.with_borrow_mut(|scratch| {
        let out = Decoded { records: Vec::with_capacity(records.len()), ..Decoded::default() };
        let mut decoder =
            Decoder { intake, plan, body, scratch, shared_key: Span::ABSENT, base: 0, index: 0, out };
        for &(payload, key) in records {
            decoder.shared_key = key;
            decoder.known(payload)?;
        }
        Ok(decoder.out)
    })
}

struct Decoder<'a> {
    intake: &'a Intake,
    plan: &'a Plan,
    body: &'a [u8],
    scratch: &'a mut Scratch,
    /// The key of all records, where the request gives one.
    shared_key: Span,
    /// Where the scanned text begins in the body.
    base: usize,
    /// Records met so far.
    index: usize,
    out: Decoded,
}

impl Decoder<'_> {
    fn text(&mut self, framing: Framing, text: &str) -> Result<(), Problem> {
        let trimmed = text.trim_ascii_start();
        let start = text.len() - trimmed.len();
        match (framing, trimmed.as_bytes().first()) {
            (_, None) => Ok(()),
            (Framing::Json | Framing::Detect, Some(b'[')) => self.array(text, start),
            (Framing::Json, Some(_)) => self.single(text, start),
            (Framing::Lines, Some(_)) => self.lines(text),
            (Framing::Detect, Some(_)) => self.values(text),
        }
    }

    /// A record that stands alone: what is around it in the body need not even be text.
    fn known(&mut self, payload: Span) -> Result<(), Problem> {
        let body = self.body;
        let bytes = body.get(payload.start()..payload.start() + payload.len()).unwrap_or_default();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("invalid UTF-8 at byte {}", error.valid_up_to());
                return self.invalid(payload, "json", &message);
            }
        };
        // White space around a value is none of it.
        let trimmed = text.trim_ascii();
        self.base = payload.start() + (text.len() - text.trim_ascii_start().len());
        let payload = Span::new(self.base, self.base + trimmed.len());
        let mut scanner = Scanner::new(trimmed);
        match self.check(&mut scanner).and_then(|verdict| scanner.end().map(|()| verdict)) {
            Ok(verdict) => self.judge(verdict, payload),
            Err(error) => self.invalid(payload, "json", &error.to_string()),
        }
    }

    /// One value. A syntax error refuses the request: there is nothing else in it.
    fn single(&mut self, text: &str, start: usize) -> Result<(), Problem> {
        let mut scanner = Scanner::at(text, start);
        let result = self.check(&mut scanner).and_then(|verdict| {
            let end = scanner.position();
            scanner.end()?;
            Ok((verdict, end))
        });
        match result {
            Ok((verdict, end)) => self.judge(verdict, Span::new(start, end)),
            Err(error) if self.dead_letters() => {
                self.invalid(Span::new(start, text.len()), "json", &error.to_string())
            }
            Err(error) => Err(Problem::NotJson(error.to_string())),
        }
    }

    /// An array. Where its syntax breaks nobody can tell where the next element begins, so it is refused whole.
    fn array(&mut self, text: &str, start: usize) -> Result<(), Problem> {
        let not_json = |error: SyntaxError| Problem::NotJson(error.to_string());
        let mut scanner = Scanner::at(text, start);
        scanner.enter_array().map_err(not_json)?;
        let mut first = true;
        while scanner.next_element(&mut first).map_err(not_json)? {
            scanner.skip_whitespace();
            let start = scanner.position();
            let verdict = self.check(&mut scanner).map_err(not_json)?;
            self.judge(verdict, Span::new(start, scanner.position()))?;
        }
        scanner.end().map_err(not_json)
    }

    /// A value a line. A line that is no JSON is refused alone.
    fn lines(&mut self, text: &str) -> Result<(), Problem> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
            self.line(&text[..end], start)?;
            start = end + 1;
        }
        Ok(())
    }

    /// The line from `start` to the end of `text`.
    fn line(&mut self, text: &str, start: usize) -> Result<(), Problem> {
        let Some(line) = text.get(start..).map(str::trim_ascii) else { return Ok(()) };
        if line.is_empty() {
            return Ok(());
        }
        let start = text.len() - text[start..].trim_ascii_start().len();
        let span = Span::new(start, start + line.len());
        let mut scanner = Scanner::at(&text[..start + line.len()], start);
        match self.check(&mut scanner).and_then(|verdict| scanner.end().map(|()| verdict)) {
            Ok(verdict) => self.judge(verdict, span),
            Err(error) => {
                let error = SyntaxError { offset: error.offset - start, kind: error.kind };
                self.invalid(span, "json", &error.to_string())
            }
        }
    }

    /// One value on any number of lines, or a value a line. A syntax error is as in [`Decoder::single`] if there is
    /// one line.
    fn values(&mut self, text: &str) -> Result<(), Problem> {
        let mut scanner = Scanner::new(text);
        scanner.skip_whitespace();
        let start = scanner.position();
        match self.check(&mut scanner) {
            Ok(verdict) if text[scanner.position()..].trim_ascii().is_empty() => {
                self.judge(verdict, Span::new(start, scanner.position()))
            }
            Err(error) if !text.trim_ascii().contains('\n') => {
                if self.dead_letters() {
                    return self.invalid(Span::new(start, text.len()), "json", &error.to_string());
                }
                Err(Problem::NotJson(error.to_string()))
            }
            _ => self.lines(text),
        }
    }

    /// Lines of which at least one is not UTF-8. Damaged lines are refused; the others are scanned in a copy of the
    /// body in which damage is blanked out, so that every span still counts from the start of the body.
    fn damaged_lines(&mut self) -> Result<(), Problem> {
        let body = self.body;
        let lines = || {
            let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
            let starts = [0].into_iter().chain(memchr::memchr_iter(b'\n', body).map(|end| end + 1));
            starts.zip(ends)
        };
        let mut mended = body.to_vec();
        for (start, end) in lines() {
            if std::str::from_utf8(&body[start..end]).is_err() {
                mended[start..end].fill(b' ');
            }
        }
        let text = String::from_utf8_lossy(&mended);
        for (start, end) in lines() {
            match std::str::from_utf8(&body[start..end]) {
                Ok(_) => self.line(&text[..end], start)?,
                Err(error) => {
                    let message = format!("invalid UTF-8 at byte {}", error.valid_up_to());
                    self.invalid(Span::new(start, end), "json", &message)?;
                }
            }
        }
        Ok(())
    }

    fn dead_letters(&self) -> bool {
        self.intake.ingest.on_invalid == OnInvalid::DeadLetter
    }

    fn check(&mut self, scanner: &mut Scanner<'_>) -> Result<Verdict, SyntaxError> {
        self.plan.check(scanner, self.scratch)
    }

    /// Takes or refuses a record whose syntax is right.
    fn judge(&mut self, verdict: Verdict, payload: Span) -> Result<(), Problem> {
        if payload.len() as u64 > self.intake.ingest.record_bytes_max {
            let limit = self.intake.ingest.record_bytes_max;
            return self
                .refuse("record_too_large", format!("{} bytes, at most {limit} are taken", payload.len()));
        }
        match verdict {
            Verdict::Fits => self.accept(payload),
            Verdict::Breaks => {
                let message = self.scratch.violation().map(ToString::to_string).unwrap_or_default();
                self.invalid(payload, "schema", &message)
            }
        }
    }

    fn accept(&mut self, payload: Span) -> Result<(), Problem> {
        self.count()?;
        let key = match self.intake.key_slot {
            Some(slot) if !self.shared_key.is_present() => {
                let captured = self.scratch.captures().get(slot).copied().unwrap_or(Span::ABSENT);
                self.key_of(captured)
            }
            _ => self.shared_key,
        };
        if key.is_present() && key.len() > PARTITION_KEY_BYTES_MAX {
            self.index -= 1;
            let message = format!("{} bytes, at most {PARTITION_KEY_BYTES_MAX} are taken", key.len());
            return self.refuse("partition_key_too_long", message);
        }
        self.out.records.push(RecordSpans { payload, key, refusal: Span::ABSENT });
        let slots = self.intake.slots;
        let base = self.base;
        self.out.captures.extend(self.scratch.captures()[..slots].iter().map(|span| span.behind(base)));
        Ok(())
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
    fn invalid(&mut self, payload: Span, code: &'static str, message: &str) -> Result<(), Problem> {
        if !self.dead_letters() || payload.len() as u64 > self.intake.ingest.record_bytes_max {
            return self.refuse(code, message.to_owned());
        }
        self.count()?;
        let reason = format!("{code} {message}");
        let refusal = self.remember(reason.as_bytes());
        self.out.records.push(RecordSpans { payload, key: self.shared_key, refusal });
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
    fn remember(&mut self, bytes: &[u8]) -> Span {
        let start = self.body.len() + self.out.side.len();
        self.out.side.extend_from_slice(bytes);
        Span::new(start, start + bytes.len())
    }
}

#[cfg(test)]
mod tests;
