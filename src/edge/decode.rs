//! A decoded body → the spans of its records, each with its verdict.

use http::{HeaderMap, header};

use super::Intake;
use super::body::shown;
use super::judge::{self, Entry, Judge};
pub use super::judge::{Decoded, Refused};
use super::mapping::Added;
use super::problem::Problem;
use crate::json::{Scanner, SyntaxError};
use crate::record::{Content, Span};

/// The type of a body that is one record, for streams that take any bytes.
const BYTES: &str = "application/octet-stream";

/// How records stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value: an object, or an array of them.
    Json,
    /// A JSON value a line; empty lines are nothing.
    Lines,
    /// Not told by the client: an array, one value on any number of lines, or a value a line.
    Detect,
    /// The whole body is one record of any bytes.
    Bytes,
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
            BYTES => Ok(Framing::Bytes),
            other if other.starts_with("application/") && other.ends_with("+json") => Ok(Framing::Json),
            _ => Err(Problem::UnsupportedMediaType(shown(value))),
        }
    }
}

/// The partition key that a request gives to all its records.
#[derive(Debug, Clone, Copy)]
pub enum RequestKey<'a> {
    /// From a header or the query.
    Given(&'a [u8]),
    /// Each record has its own.
    FromRecord,
}

/// What a request has besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The key of its records.
    pub key: RequestKey<'a>,
    /// Facts that are added to each of them; there where the stream's [`Intake::mapping`] is.
    pub added: Option<&'a Added>,
}

impl<'a> From<RequestKey<'a>> for Given<'a> {
    fn from(key: RequestKey<'a>) -> Self {
        Self { key, added: None }
    }
}

/// Finds and judges the records of `body`. What is added to them is not in it yet.
pub fn decode<'a>(
    intake: &Intake,
    framing: Framing,
    body: &[u8],
    given: impl Into<Given<'a>>,
) -> Result<Decoded, Problem> {
    let Given { key, added } = given.into();
    if framing == Framing::Bytes {
        return bytes(intake, body, key);
    }
    judge::judged((intake, added), body, |judge| {
        if let RequestKey::Given(key) = key {
            judge.shared_key = judge.remember(key);
        }
        let mut decoder = Decoder { body, judge };
        match std::str::from_utf8(body) {
            Ok(text) => decoder.text(framing, text),
            Err(_) if framing == Framing::Lines => decoder.damaged_lines(),
            Err(error) => Err(Problem::NotJson(format!("invalid UTF-8 at byte {}", error.valid_up_to()))),
        }
    })
}

/// The whole body is one record.
fn bytes(intake: &Intake, body: &[u8], key: RequestKey<'_>) -> Result<Decoded, Problem> {
    if intake.ingest.content != Content::Any {
        return Err(Problem::UnsupportedMediaType(BYTES.to_owned()));
    }
    judge::judged((intake, None), body, |judge| {
        let key = match key {
            RequestKey::Given(key) => judge.remember(key),
            RequestKey::FromRecord => Span::ABSENT,
        };
        if body.is_empty() {
            return Ok(());
        }
        judge.content(Content::Any);
        judge.entry(Entry { payload: Span::new(0, body.len()), key, hash_key: None })
    })
}

/// Finds records in a body of JSON.
struct Decoder<'b, 'j, 'a> {
    body: &'b [u8],
    judge: &'j mut Judge<'a>,
}

impl Decoder<'_, '_, '_> {
    fn text(&mut self, framing: Framing, text: &str) -> Result<(), Problem> {
        let trimmed = text.trim_ascii_start();
        let start = text.len() - trimmed.len();
        match (framing, trimmed.as_bytes().first()) {
            (_, None) | (Framing::Bytes, _) => Ok(()),
            (Framing::Json | Framing::Detect, Some(b'[')) => self.array(text, start),
            (Framing::Json, Some(_)) => self.single(text, start),
            (Framing::Lines, Some(_)) => self.lines(text),
            (Framing::Detect, Some(_)) => self.values(text),
        }
    }

    /// One value. A syntax error refuses the request: there is nothing else in it.
    fn single(&mut self, text: &str, start: usize) -> Result<(), Problem> {
        let mut scanner = Scanner::at(text, start);
        let result = self.judge.check(&mut scanner).and_then(|verdict| {
            let end = scanner.position();
            scanner.end()?;
            Ok((verdict, end))
        });
        match result {
            Ok((verdict, end)) => self.judge.judge(verdict, Span::new(start, end)),
            Err(error) if self.judge.dead_letters() => {
                self.judge.invalid(Span::new(start, text.len()), "json", &error.to_string())
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
            let verdict = self.judge.check(&mut scanner).map_err(not_json)?;
            self.judge.judge(verdict, Span::new(start, scanner.position()))?;
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
        match self.judge.check(&mut scanner).and_then(|verdict| scanner.end().map(|()| verdict)) {
            Ok(verdict) => self.judge.judge(verdict, span),
            Err(error) => {
                let error = SyntaxError { offset: error.offset - start, kind: error.kind };
                self.judge.invalid(span, "json", &error.to_string())
            }
        }
    }

    /// One value on any number of lines, or a value a line. A syntax error is as in [`Decoder::single`] if there is
    /// one line.
    fn values(&mut self, text: &str) -> Result<(), Problem> {
        let mut scanner = Scanner::new(text);
        scanner.skip_whitespace();
        let start = scanner.position();
        match self.judge.check(&mut scanner) {
            Ok(verdict) if text[scanner.position()..].trim_ascii().is_empty() => {
                self.judge.judge(verdict, Span::new(start, scanner.position()))
            }
            Err(error) if !text.trim_ascii().contains('\n') => {
                if self.judge.dead_letters() {
                    return self.judge.invalid(Span::new(start, text.len()), "json", &error.to_string());
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
                    self.judge.invalid(Span::new(start, end), "json", &message)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
